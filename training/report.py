"""The few fixed pairs that a page shows of a run, with their truth and what a model sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training import cgf1
from training.dataset import Pair
from training.evaluate import PairPrediction


def choose_samples(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """The same few of the judged pairs for any two models: positives and negatives in turn, by their images' hashes."""
    ordered = sorted(pairs, key=lambda pair: (pair.image, pair.phrase))
    positives = [pair for pair in ordered if pair.is_positive]
    negatives = [pair for pair in ordered if not pair.is_positive]
    wanted = min(len(negatives), max(count // 4, count - len(positives)))
    chosen = _spread(positives, count - wanted) + _spread(negatives, wanted)
    return sorted(chosen, key=lambda pair: (pair.image, pair.phrase))


def _spread(pairs: list[Pair], count: int) -> list[Pair]:
    """Evenly over the list, so that a longer snapshot does not change all of them."""
    return [pairs[index * len(pairs) // count] for index in range(min(count, len(pairs)))] if count else []


def sample_row(prediction: PairPrediction) -> dict[str, Any]:
    """One fixed pair with its truth and what the model sees, masks as COCO RLE of the whole image."""
    pair = prediction.pair
    return {
        "pair_id": pair.id,
        "image": pair.image,
        "text_input": pair.phrase,
        "width": pair.width_px,
        "height": pair.height_px,
        "presence": round(prediction.presence, 4),
        "truth": [instance.rle for instance in pair.instances],
        "instances": [
            {"score": round(found.score, 4), "box": [round(v, 1) for v in found.box_xyxy_px], "segmentation": found.rle}
            for found in prediction.instances
            if found.score >= cgf1.SCORE_THRESHOLD
        ],
    }
