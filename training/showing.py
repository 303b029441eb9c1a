"""The fixed pairs as the model sees them while it learns: at the first and the last validation and evenly between.

They are among those that a validation looks at anyway, so that showing them costs no second look.
"""

from __future__ import annotations

from training import report
from training.config import Config
from training.dataset import Pair
from training.evaluate import Evaluation, PairPrediction
from training.events import Events

SHOWN_BETWEEN = 10


class Showing:
    """Tells `sample` events, at most SHOWN_BETWEEN times between the first and the last; knows which step is out."""

    def __init__(self, pairs: list[Pair], config: Config, events: Events) -> None:
        self.pairs = report.choose_samples(pairs, config.sample_pairs)
        self._events = events
        self._slot = -1
        self._steps: set[int] = set()

    def validated(self, evaluation: Evaluation, *, step: int, share: float, is_last: bool) -> None:
        """share: of the run that is done, by steps or by the clock."""
        slot = int(share * SHOWN_BETWEEN)
        if slot > self._slot or is_last:
            chosen = {pair.id for pair in self.pairs}
            self.show(step, [found for found in evaluation.predictions if found.pair.id in chosen])
        self._slot = max(self._slot, slot)

    def goes_on(self, share: float) -> None:
        """A resumed run does not show again what it had shown before it was stopped."""
        self._slot = int(share * SHOWN_BETWEEN)

    def has_shown(self, step: int) -> bool:
        return step in self._steps

    def show(self, step: int, predictions: list[PairPrediction]) -> None:
        self._steps.add(step)
        for prediction in predictions:
            self._events("sample", step=step, **report.sample_row(prediction))
