"""What a tracker is: it is told about a run, and keeps that where people look for it.

An adapter (mlflow.py, wandb.py, tensorboard.py) may raise whatever its package raises, and may be slow: `following.py`
calls it in a thread of its own, tells of the first failure once, and never lets it near the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from toolbox.run_figures import Figures
from training.config import Config

# How a run ended. An adapter puts it into its own words.
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run before it begins. `resumed_id` is the adapter's own name of it if it was begun before."""

    name: str
    project: str
    folder: Path
    params: dict[str, str]
    lineage: dict[str, str]
    mlflow_uri: str | None = None
    resumed_id: str | None = None


@dataclass(frozen=True)
class Started:
    """Where the run is kept: a sentence for people, the place alone for a link, and the id to go on with."""

    sentence: str
    place: str
    id: str = ""


@dataclass(frozen=True)
class Picture:
    """The fixed pairs at one step: a PNG for people, and the same as JSON (masks as COCO RLE)."""

    step: int
    png: Path | None
    rows: Path


class Tracker(Protocol):
    """Called from one thread, in this order: start once, then figures and pictures, then finish once."""

    def start(self, facts: RunFacts) -> Started: ...

    def figures(self, figures: Figures) -> None: ...

    def picture(self, picture: Picture) -> None: ...

    def file(self, path: Path) -> None:
        """An artifact, as it lies there now: the resolved config, the manifest, the report."""

    def finish(self, how: str) -> None: ...


def hyperparameters(config: Config) -> dict[str, str]:
    """What the result follows from, and the machine's part of it; paths are no hyperparameters and stay here."""
    machine = ("device", "threads", "memory_mib", "validate_every", "checkpoint_every")
    plain = config.plain()
    return {name: str(plain[name]) for name in [*config.decisive(), *machine] if name in plain}
