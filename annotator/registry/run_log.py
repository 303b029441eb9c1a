"""A trainer's events as a training run's series and its job's progress."""

import time
from types import TracebackType
from typing import Any, Self

from annotator.jobs.services import JobContext
from annotator.models import TrainingRun
from toolbox.events import Event
from toolbox.run_figures import FigureReader
from toolbox.run_size import gigabytes
from toolbox.training_settings import SETTABLE

from .run_samples import SampleLog

SAVE_EVERY_SECONDS = 1.0
# Where each phase lies on the progress bar. The gate evaluates up to three models, one after the other.
BAR = {
    ("train", "features"): (0.0, 0.15),
    ("train", "train"): (0.15, 0.8),
    ("gate", "features"): (0.8, 0.85),
    ("gate", "evaluate"): (0.85, 1.0),
}
MODELS_JUDGED = 3
GPU_POINTS = 400
WORDS = {
    "features": "Reading the images",
    "train": "Training",
    "clicks": "Counting clicks",
    "evaluate": "Judging on the holdout",
    "speed": "Timing both models in turns",
}


class RunLog:
    """Takes events in order; writes at most once a second, and when the `with` ends, however it ends."""

    def __init__(self, run: TrainingRun, context: JobContext, *, verb: str) -> None:
        self.run, self.context, self.verb = run, context, verb
        # What an attempt that broke off advised is of no use to this one.
        told = {name: value for name, value in run.series.items() if name != "advice"}
        self.series: dict[str, Any] = {Event.LOSS: [], Event.VALIDATION: [], **told}
        self._saved_at, self._began = 0.0, time.monotonic()
        self._seconds_before = run.trainer_seconds
        self._share = 0.0
        self._judged, self._last_step = 0, 0
        self._samples = SampleLog(run)
        self._figures = FigureReader(run.config.get("batch_pairs") or SETTABLE["batch_pairs"].default)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._samples.complete()
        self.save()

    def take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        self._samples.take(event)
        figures = self._figures.read(event)
        if kind in (Event.LOSS, Event.VALIDATION):
            point = {name: value for name, value in event.items() if name not in ("event", "at")}
            if figures is not None and "train/images_per_s" in figures.values:
                point["images_per_s"] = round(figures.values["train/images_per_s"], 3)
            self._add(kind, point)
        elif kind == Event.PROGRESS:
            self._progress(event)
        elif kind == Event.SAVING:
            size = gigabytes(event["bytes"])
            self.context.tell(f"Saving step {event['step']} ({size}) to go on from there; the card is free")
        elif kind == Event.WARNING and event["code"] == "waits_for_folder":
            self.context.tell(event["message"])
        elif kind == Event.GPU:
            self._gpu({name: value for name, value in event.items() if name != "event"})
        elif kind == Event.VIEWS:
            self.series["views"] = {name: value for name, value in event.items() if name not in ("event", "at", "path")}
        elif kind == Event.CLICKS:
            self.series[Event.CLICKS] = {name: value for name, value in event.items() if name not in ("event", "at")}
        elif kind == Event.TRACKER:
            self._tracker(event)
        elif kind == Event.ERROR and event.get("settings"):
            self.series["advice"] = event["settings"]  # what to set for the next run
        if time.monotonic() - self._saved_at >= SAVE_EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        self._saved_at = time.monotonic()
        self.run.series = self.series
        self.run.trainer_seconds = self._seconds_before + self._saved_at - self._began
        fields = {"series": self.series, "trainer_seconds": self.run.trainer_seconds}
        TrainingRun.objects.filter(pk=self.run.pk).update(**fields)

    def _add(self, kind: str, point: dict[str, Any]) -> None:
        # A resumed run repeats the steps since its checkpoint: the later telling counts.
        earlier = self.series[kind]
        while earlier and earlier[-1]["step"] >= point["step"]:
            earlier.pop()
        earlier.append(point)

    def _gpu(self, point: dict[str, Any]) -> None:
        """Told every ten seconds for hours: when there are too many, every second one goes, and the newest stays."""
        points = [*self.series.get(Event.GPU, []), point]
        self.series[Event.GPU] = points if len(points) <= 2 * GPU_POINTS else points[::-2][::-1]

    def _tracker(self, event: dict[str, Any]) -> None:
        """The last sentence of each counts: where it keeps the run, or why it does not."""
        told = {name: event.get(name, "") for name in ("tracker", "state", "message", "place")}
        others = [one for one in self.series.get("trackers", []) if one["tracker"] != told["tracker"]]
        self.series["trackers"] = [*others, told]

    def _progress(self, event: dict[str, Any]) -> None:
        phase, step, of = str(event.get("phase", "")), event["step"], event["of"]
        self.series["phase"] = phase
        first, last = BAR.get((self.verb, phase), (self._share, self._share))
        share = first + (last - first) * self._done(phase, step, of)
        self._share = max(self._share, share)  # phases count anew; the bar goes forward only
        words = f"{WORDS.get(phase, phase)}: {step} of {of}"
        self.context.progress(min(self._share, 0.99), words, eta_seconds=event.get("eta_s"))

    def _done(self, phase: str, step: int, of: int) -> float:
        done = min(step / max(of, 1), 1.0)
        if phase != "evaluate":
            return done
        self._judged += step < self._last_step
        self._last_step = step
        return min((self._judged + done) / MODELS_JUDGED, 1.0)
