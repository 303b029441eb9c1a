"""A run's events as numbers with a name and a step, the same on the run's page and for every tracker."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from toolbox.events import Event

NOT_FIGURES = {"event", "at", "step", "learning_rate", "best"}
KINDS = {Event.LOSS: "loss", Event.VALIDATION: "val", Event.GPU: "gpu"}


@dataclass
class Figures:
    """Numbers of one step by name, `loss/total`; `at_s` is when they were told (seconds since 1970)."""

    step: int
    at_s: float
    values: dict[str, float] = field(default_factory=dict)


class FigureReader:
    """Takes events in order. Images a second are counted between two tellings, so it has a memory.

    An image a second is one pair of a batch learned from: the same image asked of two phrases counts twice. The time of
    a validation or a checkpoint is not counted as learning.
    """

    def __init__(self, batch_pairs: int) -> None:
        self._batch_pairs = batch_pairs
        self._since: tuple[int, float] | None = None
        self._step = 0

    def read(self, event: dict[str, Any]) -> Figures | None:
        """Figures of an event that holds some; None for the others."""
        kind = event["event"]
        if kind not in (Event.PROGRESS, Event.CHECKPOINT, *KINDS):
            return None
        at_s = datetime.fromisoformat(event["at"]).timestamp()
        if kind == Event.PROGRESS:
            return self._progress(event, at_s)
        if kind == Event.CHECKPOINT:
            self._since = (int(event["step"]), at_s)
            return None
        self._step = int(event.get("step", self._step))
        figures = Figures(self._step, at_s, _numbers(event, KINDS[kind]))
        if kind == Event.LOSS:
            figures.values |= self._of_learning(event, at_s)
        if kind != Event.GPU:
            self._since = (self._step, at_s)
        return figures

    def _of_learning(self, event: dict[str, Any], at_s: float) -> dict[str, float]:
        found = {"train/learning_rate": float(event["learning_rate"])} if event.get("learning_rate") is not None else {}
        if self._since is not None and self._step > self._since[0] and at_s > self._since[1]:
            pairs = (self._step - self._since[0]) * self._batch_pairs
            found["train/images_per_s"] = pairs / (at_s - self._since[1])
        return found

    def _progress(self, event: dict[str, Any], at_s: float) -> Figures | None:
        """Share done and time left of the learning itself; other phases count their own steps, from 0."""
        if event.get("phase") != "train" or not event.get("of"):
            return None
        self._step = int(event["step"])
        values = {"train/share": event["step"] / event["of"]}
        if event.get("eta_s") is not None:
            values["train/eta_s"] = float(event["eta_s"])
        return Figures(self._step, at_s, values)


def _numbers(event: dict[str, Any], prefix: str) -> dict[str, float]:
    """What is no number (null: the loss was none) is left out, not told as 0."""
    return {
        f"{prefix}/{name}": float(value)
        for name, value in event.items()
        if name not in NOT_FIGURES and isinstance(value, int | float) and not isinstance(value, bool)
    }
