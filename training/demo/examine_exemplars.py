"""How well the demo model finds more like the one object that it is shown, on freshly drawn scenes."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from mlbackend.model.exemplars import with_exemplars
from mlbackend.model.inputs import PhraseTokenizer
from mlbackend.model.network import Sam3Network
from mlbackend.model.prompts import ExemplarBox
from training.demo.examine import encoded_scenes

UNKNOWN_WORD = "zebu"
KEEP_QUERY_SCORE = 0.3  # the desk's own, annotator/queue/api.py
SAME_OBJECT_IOU = 0.5


@torch.inference_mode()
def examine_exemplars(
    network: Sam3Network, tokenizer: PhraseTokenizer, domain: str, *, first_seed: int, scenes: int
) -> dict[str, dict[str, float]]:
    """Of each concept with two objects or more the largest is shown: how many of the others are found (recall), and how
    many of the finds are one of them (precision), with the word alone, with the word and the box, and with the box and
    a word that nobody taught."""
    counts = {name: np.zeros(3) for name in ("word", "word and box", "box")}  # found, wanted, wrong
    for scene, tokens in encoded_scenes(network, domain, first_seed, scenes):
        vision = network.detector_features(tokens)
        for concept in {name for name, _ in scene.instances}:
            largest, *others = sorted((m for name, m in scene.instances if name == concept), key=lambda m: -m.sum())
            if others:
                box = [ExemplarBox(_frame(largest))]
                asked = {"word": (concept, []), "word and box": (concept, box), "box": (UNKNOWN_WORD, box)}
                for name, (word, boxes) in asked.items():
                    finds = _finds(network, tokenizer, vision, word, boxes, largest.shape)
                    counts[name] += _compare([find for find in finds if not _same(find, largest)], others)
    return {
        name: {"recall": float(found / max(wanted, 1)), "precision": float(found / max(found + wrong, 1))}
        for name, (found, wanted, wrong) in counts.items()
    }


def _finds(
    network: Sam3Network,
    tokenizer: PhraseTokenizer,
    vision,
    word: str,
    boxes: list[ExemplarBox],
    size_hw: tuple[int, ...],
) -> np.ndarray:
    text = network.text_features(*tokenizer([word]))
    if boxes:
        text = with_exemplars(network, vision, text, boxes, size_hw[1], size_hw[0])
    found = network.detect(vision, text)
    kept = found.query_logits_PQ[0].sigmoid() >= KEEP_QUERY_SCORE
    assert found.mask_logits_PQHW is not None
    if not kept.any():
        return np.zeros((0, *size_hw), dtype=bool)
    return (F.interpolate(found.mask_logits_PQHW[:1, kept], size=size_hw, mode="bilinear")[0] > 0).numpy()


def _compare(finds: list[np.ndarray], others: list[np.ndarray]) -> np.ndarray:
    hit = sum(any(_same(find, other) for find in finds) for other in others)
    return np.array([hit, len(others), sum(not any(_same(find, other) for other in others) for find in finds)])


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return bool((first & second).sum() > SAME_OBJECT_IOU * (first | second).sum())


def _frame(mask_HW: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = mask_HW.nonzero()
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
