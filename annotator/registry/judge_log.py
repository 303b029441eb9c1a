"""A trainer's events as the progress of a job that judges and has no training run."""

from typing import Any

from annotator.jobs.services import JobContext
from toolbox.events import Event

FEATURES_SHARE = 0.3  # of one model's part of the bar; the rest is judging
WORDS = {"features": "Reading the images", "evaluate": "Judging", "speed": "Timing both models"}


class JudgeLog:
    """`models`: how many are judged one after another; phases count anew for each, the bar goes forward only."""

    def __init__(self, context: JobContext, *, models: int) -> None:
        self._context, self._models = context, models
        self._share, self._judged, self._last = 0.0, 0, ("", 0)

    def take(self, event: dict[str, Any]) -> None:
        if event["event"] == Event.PROGRESS:
            self._progress(str(event.get("phase", "")), event["step"], event["of"], event.get("eta_s"))
        elif event["event"] == Event.WARNING and event["code"] == "waits_for_folder":
            self._context.tell(event["message"])

    def _progress(self, phase: str, step: int, of: int, eta_s: float | None) -> None:
        was_phase, was_step = self._last
        if was_phase == "evaluate" and (phase != "evaluate" or step < was_step):
            self._judged = min(self._judged + 1, self._models - 1)
        self._last = (phase, step)
        done = min(step / max(of, 1), 1.0)
        part = FEATURES_SHARE * done if phase == "features" else FEATURES_SHARE + (1 - FEATURES_SHARE) * done
        self._share = max(self._share, (self._judged + part) / self._models)
        words = f"{WORDS.get(phase, phase)}: {step} of {of}"
        self._context.progress(min(self._share, 0.99), words, eta_seconds=eta_s)
