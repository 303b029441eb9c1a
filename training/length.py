"""What of a run follows its data: how many steps it takes, and how far its weights come back to the base model.

The figures behind both: docs/training.md, «Steps and the way back».
"""

from __future__ import annotations

import math

from toolbox.training_settings import FEWEST_STEPS
from training.config import Config


def steps_of(config: Config, train_pairs: int) -> int | None:
    """The run's steps; None where the clock alone ends it. Where nothing is said they grow with the train pairs."""
    if config.steps is not None or config.minutes is not None:
        return config.steps
    return max(FEWEST_STEPS, math.ceil(config.passes * train_pairs / config.batch_pairs))


def further_shares(config: Config) -> tuple[float, ...]:
    """Shares of the base model to judge the average with in the end too; of equals on `val` start_share is kept."""
    return (config.start_share / 2, 0.0) if config.start_share and config.choose_start_share else ()
