"""Which pairs of a snapshot a run learns from, and which choose its checkpoint. What is left out is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from training.config import Config
from training.dataset import Pair, Snapshot, Split
from training.events import Events
from training.sampling import check_both_kinds

STAND_IN_EVERY = 6


@dataclass(frozen=True)
class Material:
    """What a run learns from and what chooses its checkpoint; `left_out`: pairs not exhaustive that do neither."""

    train: list[Pair]
    val: Split
    left_out: dict[str, int]

    def counts(self) -> dict[str, Any]:
        return {
            "train": len(self.train),
            "train_not_exhaustive": sum(not pair.is_exhaustive for pair in self.train),
            "val": len(self.val.pairs),
            "left_out_not_exhaustive": self.left_out,
        }


def choose_material(snapshot: Snapshot, config: Config, events: Events) -> Material:
    """Verified pairs to learn from, and the split that chooses the checkpoint.

    A `val` without positives or without negatives has CGF1 0 for any model: then a sixth of `train`'s images stand in.
    """
    train, val = snapshot.split("train"), snapshot.split("val")
    pairs = train.trainable
    _check_both_kinds(pairs)
    silent = sum(not pair.is_exhaustive for pair in train.pairs) - sum(not pair.is_exhaustive for pair in pairs)
    if any(pair.is_positive for pair in val.judged) and any(pair.is_negative for pair in val.judged):
        chosen = _only(val, val.judged, config.validate_pairs)
        material = Material(pairs, chosen, {"train": silent, "val": val.left_out_not_exhaustive})
    else:
        material = _stand_in(train, silent, config)
        message = "The snapshot's val split lacks positives or negatives; every sixth train image stands in for it."
        events("warning", code="val_stand_in", message=message)
    _warn_of_left_out(material, events)
    return material


def _stand_in(train: Split, silent: int, config: Config) -> Material:
    """Whole images, so that no image both teaches and judges; their pairs that are not exhaustive do neither."""
    pairs = train.trainable
    held = {image for image in {pair.image for pair in pairs} if int(image[:8], 16) % STAND_IN_EVERY == 0}
    kept, held_pairs = [p for p in pairs if p.image not in held], [p for p in pairs if p.image in held]
    judged = [pair for pair in held_pairs if pair.is_exhaustive]
    for part in (kept, judged):
        _check_both_kinds(part)
    left_out = {"train": silent, "val": len(held_pairs) - len(judged)}
    return Material(kept, _only(train, judged, config.validate_pairs), left_out)


def _check_both_kinds(pairs: list[Pair]) -> None:
    check_both_kinds(sum(pair.is_positive for pair in pairs), sum(pair.is_negative for pair in pairs))


def _warn_of_left_out(material: Material, events: Events) -> None:
    """Nothing is left out in silence, and scores that nothing pulls down are told beforehand."""
    if any(material.left_out.values()):
        words = (
            f"Left out, because not every instance is marked: {material.left_out['train']} pairs of the train split "
            f"that mark none at all, {material.left_out['val']} pairs of the split that chooses the checkpoint."
        )
        events("warning", code="left_out_not_exhaustive", message=words)
    if not any(pair.is_positive and pair.is_exhaustive for pair in material.train):
        words = (
            "In no positive pair of the train split is every instance marked: nothing teaches the model which parts of "
            "such an image are not the concept, so its scores only rise. Have some of these pairs completed."
        )
        events("warning", code="no_exhaustive_positive", message=words)


def _only(split: Split, pairs: list[Pair], limit: int) -> Split:
    """The split narrowed to at most `limit` pairs, in the order of their images' hashes: always the same ones."""
    chosen = sorted(pairs, key=lambda pair: (pair.image, pair.phrase))[:limit]
    ids = {pair.id for pair in chosen}
    document = {
        **split.document,
        "images": [row for row in split.document["images"] if row["id"] in ids],
        "annotations": [row for row in split.document["annotations"] if row["image_id"] in ids],
    }
    return Split(split.name, document, tuple(chosen))
