"""Trackers follow a run's events, each in a thread of its own.

Whatever a tracker does (it is not installed, raises, hangs), the run computes what it would have computed: events are
only queued here, and a tracker's first failure is one `tracker` event and the end of it.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolbox.events import Event
from toolbox.files import write_json
from toolbox.run_figures import FigureReader
from training.config import Config
from training.errors import Stopped
from training.events import Events
from training.tracking.base import FAILED, FINISHED, STOPPED, RunFacts, Started, Tracker, hyperparameters
from training.tracking.gpu import watched_gpu
from training.tracking.lineage import lineage
from training.tracking.samples import SampleSheets

log = logging.getLogger(__name__)
# How long a run that is over waits for what its trackers still have to write. Whoever cancelled does not wait long.
FINISH_WITHIN_S = 60.0
STOP_WITHIN_S = 4.0
TITLES = {"mlflow": "MLflow", "wandb": "W&B", "tensorboard": "TensorBoard"}
PACKAGES = {"mlflow": "mlflow-skinny", "wandb": "wandb", "tensorboard": "tensorboard"}
CONFIG_FILE, IDS_FILE = "config.yaml", "trackers.json"
ARTIFACTS = ("manifest.json", "views.png")


@contextmanager
def followed(config: Config, verb: str, out: Path, events: Events) -> Iterator[None]:
    """The GPU of any verb is watched; a `train` is told to the config's trackers."""
    with watched_gpu(config, events):
        if verb != "train":
            yield
            return
        trackers = [_Follower(name, config, out, events) for name in dict.fromkeys(config.trackers)]
        how = FAILED
        try:
            for tracker in trackers:
                events.listen(tracker.take)
            yield
            how = FINISHED
        except Stopped:
            how = STOPPED
            raise
        finally:
            _finish(trackers, how)


def _finish(trackers: list[_Follower], how: str) -> None:
    until = time.monotonic() + (STOP_WITHIN_S if how == STOPPED else FINISH_WITHIN_S)
    for tracker in trackers:
        tracker.end(how)
    for tracker in trackers:
        tracker.wait(until)


def _make(name: str) -> Tracker:
    """Packages are imported here, in the tracker's own thread, and only those that were asked for."""
    if name == "mlflow":
        from training.tracking.mlflow import MlflowTracker

        return MlflowTracker()
    if name == "wandb":
        from training.tracking.wandb import WandbTracker

        return WandbTracker()
    from training.tracking.tensorboard import TensorboardTracker

    return TensorboardTracker()


class _Follower:
    """One tracker's queue and thread. After its first failure it takes nothing more."""

    def __init__(self, name: str, config: Config, out: Path, events: Events) -> None:
        self.name, self._config, self._out, self._events = name, config, out, events
        self._queue: queue.SimpleQueue[dict[str, Any] | str] = queue.SimpleQueue()
        self._is_over, self._telling = False, threading.Lock()
        self._reader = FigureReader(config.batch_pairs)
        self._sheets = SampleSheets(Path(config.images), out / "samples" / name)
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def take(self, event: dict[str, Any]) -> None:
        if not self._is_over:
            self._queue.put(event)

    def end(self, how: str) -> None:
        self._queue.put(how)

    def wait(self, until: float) -> None:
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._give_up("slow", "did not take all of it in time: what it has of this run may lack the end.")

    def _work(self) -> None:
        try:
            self._follow()
        except ImportError as error:
            package = PACKAGES[self.name]
            self._give_up("absent", f"is not used ({error}): pip install -r requirements-extras.txt brings {package}.")
        except (Exception, SystemExit) as error:
            log.exception("the tracker %s failed", self.name)
            reason = (str(error).splitlines() or [""])[0]
            self._give_up("failed", f"failed and is told nothing more: {type(error).__name__}: {reason}")

    def _give_up(self, state: str, words: str) -> None:
        """Told once. The event that says so is no figure, so that it may come from any thread."""
        with self._telling:
            if self._is_over:
                return
            self._is_over = True
            message = f"{TITLES[self.name]} {words} The run goes on without it."
            self._events(Event.TRACKER, tracker=self.name, state=state, message=message)

    def _follow(self) -> None:
        tracker = _make(self.name)
        self._began(tracker.start(self._facts()))
        while isinstance(told := self._queue.get(), dict):
            self._tell(tracker, told)
        self._last(tracker, told)
        self._is_over = True

    def _began(self, started: Started) -> None:
        """Not told any more where the run was over before this: `done` is the last event, and its file is closed."""
        _remember(self._out, self.name, started.id)
        fields = {"tracker": self.name, "state": "on", "message": started.sentence, "place": started.place}
        with self._telling:
            if not self._is_over:
                self._events(Event.TRACKER, **fields)

    def _tell(self, tracker: Tracker, event: dict[str, Any]) -> None:
        if event["event"] == Event.SAMPLE:
            self._sheets.add(event)
            return
        for picture in self._sheets.complete():
            tracker.picture(picture)
        figures = self._reader.read(event)
        if figures is not None and figures.values:
            tracker.figures(figures)

    def _last(self, tracker: Tracker, how: str) -> None:
        for picture in self._sheets.complete():
            tracker.picture(picture)
        names = (CONFIG_FILE, *(ARTIFACTS if how == FINISHED else ()))
        for path in (self._out / name for name in names):
            if path.is_file():
                tracker.file(path)
        tracker.finish(how)

    def _facts(self) -> RunFacts:
        config = self._config
        return RunFacts(
            name=config.run_name or self._out.resolve().name,
            project=config.tracking_project,
            folder=Path(config.tracking_folder or self._out / "tracking"),
            params=hyperparameters(config),
            lineage=lineage(config),
            mlflow_uri=config.mlflow_uri,
            resumed_id=_remembered(self._out).get(self.name) if config.resume else None,
        )


_ids = threading.Lock()


def _remembered(out: Path) -> dict[str, str]:
    try:
        found = json.loads((out / IDS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(out: Path, name: str, run_id: str) -> None:
    """A run that was stopped and goes on is one run in the tracker, too."""
    with _ids:
        write_json(out / IDS_FILE, _remembered(out) | {name: run_id}, alone=True)
