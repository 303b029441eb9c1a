"""Text features of phrases: with gradients where the text tower learns, else read once for the whole run.

A frozen tower answers a phrase the same at every step; 353 of SAM 3's 386 M numbers behind the ViT are this tower, and
once it has read the run's phrases it needs no place on the card.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from mlbackend.model.network import Sam3Network, TextFeatures
from training.models import Model
from training.precision import FULL, Precision

READ_AT_ONCE = 16


class Texts:
    """One row a phrase, in the order asked."""

    def __init__(self, model: Model, *, is_frozen: bool = False, precision: Precision = FULL) -> None:
        self.is_frozen = is_frozen
        self._model, self._precision = model, precision
        self._known: dict[str, TextFeatures] = {}

    def prepare(self, phrases: Iterable[str]) -> None:
        """Where the tower is frozen: read every phrase of the run, then take the tower off the card."""
        if self.is_frozen:
            self._read(sorted(set(phrases)))
            move_text_tower(self._model.network, torch.device("cpu"))

    def __call__(self, phrases: Sequence[str]) -> TextFeatures:
        if self.is_frozen:
            return self._kept(phrases)
        asked = sorted(set(phrases))
        rows = torch.tensor([asked.index(phrase) for phrase in phrases], device=self._model.device)
        return self._model.texts(asked).rows(rows)

    def _kept(self, phrases: Sequence[str]) -> TextFeatures:
        if unknown := sorted(set(phrases) - self._known.keys()):
            self._read(unknown)
        rows = [self._known[phrase] for phrase in phrases]
        return TextFeatures(torch.cat([row.features_PTC for row in rows]), torch.cat([row.mask_PT for row in rows]))

    @torch.no_grad()
    def _read(self, phrases: list[str]) -> None:
        move_text_tower(self._model.network, self._model.device)
        for start in range(0, len(phrases), READ_AT_ONCE):
            part = phrases[start : start + READ_AT_ONCE]
            with self._precision.autocast(self._model.device):
                text = self._model.texts(part)
            index = torch.arange(len(part), device=self._model.device)
            self._known |= {phrase: text.rows(index[row : row + 1]) for row, phrase in enumerate(part)}


def move_text_tower(network: Sam3Network, device: torch.device) -> None:
    for module in (network.detector.text_encoder, network.detector.text_projection):
        module.to(device)
