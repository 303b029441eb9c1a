"""What clicks become when the ViT moves: the click decoder, which does not, learned from the old one's features.

Mean IoU after one and after three simulated clicks on the objects of `val`, with the model a run began from and with
the one that it keeps. It decides nothing; the run tells it, and whoever serves the model should look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mlbackend.model.predictor import Predictor, Prompt
from mlbackend.model.prompts import Point
from mlbackend.store.embeddings import Embedding
from training import masks
from training.dataset import Instance, Pair
from training.evaluate import full_mask
from training.events import Events
from training.models import Model
from training.simulated_clicks import next_click
from training.token_source import TokenSource

CLICKS = 3
MOST_OBJECTS = 40

Figures = dict[str, float]


class ClickCheck:
    """Of one run: before() on the weights that it begins with, after() on those that it keeps."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        ordered = sorted(pairs, key=lambda pair: (pair.image, pair.phrase))
        self._objects = [(pair, instance) for pair in ordered for instance in pair.instances][:MOST_OBJECTS]
        self.figures: dict[str, Figures] = {}

    def before(self, model: Model, source: TokenSource) -> None:
        self.figures["before"] = self._measured(model, source)

    def after(self, model: Model, source: TokenSource, events: Events) -> None:
        self.figures["after"] = self._measured(model, source)
        events("warning", code="clicks_with_a_moved_vit", message=self.sentence())

    def told(self) -> dict[str, Any]:
        return {"objects": len(self._objects), **self.figures}

    def sentence(self) -> str:
        moved = "The ViT moved, the click decoder did not"
        if not self._objects:
            return f"{moved}; val has no object to click on, so what became of clicks is not known."
        ways = [
            f"{row['iou_after_1']:.3f} after one click and {row[f'iou_after_{CLICKS}']:.3f} after {CLICKS}"
            for row in (self.figures["after"], self.figures["before"])
        ]
        return f"{moved}: mean IoU on {len(self._objects)} objects of val is {ways[0]}; with the old one {ways[1]}."

    @torch.no_grad()
    def _measured(self, model: Model, source: TokenSource) -> Figures:
        predictor = Predictor(model.network, model.tokenizer, "", "", "", device=model.device)
        rows: list[list[float]] = []
        image, embedding = "", Embedding({}, 0, 0)
        for pair, instance in self._objects:
            if pair.image != image:
                tokens = source.tokens([pair.image])[0]
                image, embedding = pair.image, Embedding({"tokens": tokens}, pair.width_px, pair.height_px)
                embedding = predictor.click_features(embedding)
            rows.append(_ious(predictor, embedding, pair, instance))
        means: list[float] = np.mean(rows, axis=0).tolist() if rows else []
        return {f"iou_after_{click}": round(iou, 4) for click, iou in enumerate(means, start=1)}


def _ious(predictor: Predictor, embedding: Embedding, pair: Pair, instance: Instance) -> list[float]:
    """After each click; once nothing is wrong nobody clicks any more."""
    size = {"height_px": pair.height_px, "width_px": pair.width_px}
    truth_HW = masks.decode_rle(instance.rle, **size)
    points: list[Point] = []
    ious: list[float] = []
    found_HW = np.zeros_like(truth_HW)
    earlier: torch.Tensor | None = None
    for _ in range(CLICKS):
        wrong = next_click(truth_HW, found_HW)
        if wrong is not None:
            points.append(wrong)
            best = predictor.click([Prompt(embedding, tuple(points), earlier_logits_hw=earlier)])[0][0]
            earlier, found_HW = best.mask_logits_hw, full_mask(best.mask_logits_hw, **size)
        ious.append(float((truth_HW & found_HW).sum() / (truth_HW | found_HW).sum()))
    return ious
