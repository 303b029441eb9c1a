"""What clicks become when the ViT moves: the click decoder, which does not, learned from the old one's features.

The figures of click_judge.py on objects of `val`, with the model that a run began from and with the one that it keeps.
They decide nothing; the run tells them, and whoever serves the model should look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mlbackend.model.predictor import Predictor
from training.click_judge import click_courses, clickables, figures
from training.dataset import Pair
from training.events import Events
from training.models import Model
from training.token_source import TokenSource

MOST_OBJECTS = 40

Figures = dict[str, float]


class ClickCheck:
    """Of one run: before() on the weights that it begins with, after() on those that it keeps."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._objects = clickables(pairs, MOST_OBJECTS)
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
            f"{row['iou_after_1']:.3f} after one click and {row['iou_after_3']:.3f} after three"
            for row in (self.figures["after"], self.figures["before"])
        ]
        return f"{moved}: mean IoU on {len(self._objects)} objects of val is {ways[0]}; with the old one {ways[1]}."

    @torch.no_grad()
    def _measured(self, model: Model, source: TokenSource) -> Figures:
        predictor = Predictor(model.network, model.tokenizer, "", "", "", device=model.device)
        return figures(click_courses(predictor, source, self._objects)) if self._objects else {}
