"""The sweep itself: check everything, judge the base model, then train and judge one run after another.

Whatever is finished lies in the folder and is not done again, so that the same command goes on after any end. A run
that is refused or breaks is told in the table, and tried again when the command is given again.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from toolbox.events import Event
from toolbox.files import write_json
from training.errors import Refused, TrainingError
from training.events import Events
from training.launch import StopRequest
from training.sweep.asked import Point, Run, Sweep
from training.sweep.children import Children, Ended
from training.sweep.folder import BASE, CHECKED, SweepFolder
from training.sweep.pages import write_pages
from training.sweep.results import JudgedModel, Outcome, Results, judged_model

log = logging.getLogger(__name__)
HOLDOUT_SPENT = (
    "This sweep chooses by the holdout, which the gate judges by: whatever it chooses is flattered there, and the "
    "gate's verdict on it means less. Choose by val, or freeze a snapshot with a new holdout before the gate is asked."
)


def run_sweep(sweep: Sweep, out: Path, events: Events, stop: StopRequest, lock: int) -> Path:
    """DIR/sweep.json, table.csv, table.md, plot.svg and best.yaml; the first one's path. `lock`: of DIR."""
    return _Work(SweepFolder(out, sweep), events, Children(lock, stop)).run()


class _Work:
    """One sweep under way."""

    def __init__(self, folder: SweepFolder, events: Events, children: Children) -> None:
        self.folder, self.sweep = folder, folder.sweep
        self.events, self.children = events, children
        self.outcomes: dict[str, Outcome] = {}
        self._began, self._seconds = 0.0, list[float]()

    def run(self) -> Path:
        self._check()
        if self.sweep.split == "holdout":
            self.events(Event.WARNING, code="holdout_spent", message=HOLDOUT_SPENT)
        base = self._judge_base()
        self.outcomes = {run.name: known for run in self.sweep.runs if (known := self._known(run))}
        for point in self.sweep.points:
            for run in [run for run in point.runs if run.name not in self.outcomes]:
                self._tell(run)
                self.outcomes[run.name] = self._outcome(run)
                self._told(run)
                self._write(base)
            self._prune(base)
        return self._write(base)

    def _check(self) -> None:
        self.folder.claim()
        left = [run.name for run in self.sweep.runs if not self.folder.trained(run)]
        if not left:
            return
        checked = self.folder.out / CHECKED
        checked.unlink(missing_ok=True)
        self.children.run(["training.sweep.checks", str(self.folder.out), self.sweep.split, *left])
        if not checked.is_file():
            raise TrainingError("failed", "The runs could not be checked; the log says why.")
        refused: dict[str, str] = json.loads(checked.read_text(encoding="utf-8"))
        if refused:
            words = " ".join(f"{name}: {sentence}" if name else sentence for name, sentence in refused.items())
            raise Refused("bad_sweep", f"The sweep cannot begin. {words}")

    def _judge_base(self) -> JudgedModel:
        """First of all: a model that cannot be read is told before anything is trained."""
        base = str(self.sweep.base.base_model)
        if not self.folder.is_judged(BASE, None):
            ended = self._judge(BASE, base)
            if ended.status:
                kind = Refused if ended.status == 2 else TrainingError
                raise kind(ended.code, f"The base model cannot be judged: {ended.message}")
        return judged_model(self.folder.judged(BASE))

    def _judge(self, name: str, model: str) -> Ended:
        out = self.folder.judged(name)
        out.mkdir(parents=True, exist_ok=True)
        (out / "manifest.json").unlink(missing_ok=True)  # it says that what lies beside it is whole
        write_json(out / "asked.json", self.folder.judging(model), indent=1, alone=True)
        return self.children.verb("evaluate", out / "asked.json", out)

    def _known(self, run: Run) -> Outcome | None:
        """Of a run that was trained and judged before."""
        manifest = self.folder.trained(run)
        if not manifest:
            return None
        self.folder.forget_checkpoints(run)
        is_base = manifest["weights_hash"] == self.folder.weights_of_base()  # no validation was better
        if not is_base and not self.folder.is_judged(run.name, manifest["weights_hash"]):
            return None
        judged = judged_model(self.folder.judged(BASE if is_base else run.name))
        return Outcome("done", "", int(manifest["metrics"]["best_step"]), judged)

    def _outcome(self, run: Run) -> Outcome:
        """Trained and judged, each unless it was before."""
        if not self.folder.trained(run):
            ended = self.children.verb("train", self.folder.of(run) / "asked.json", self.folder.of(run))
            if ended.status:
                return Outcome("refused" if ended.status == 2 else "failed", f"{ended.code}: {ended.message}")
        if known := self._known(run):
            return known
        ended = self._judge(run.name, str(self.folder.of(run) / "model"))
        if not ended.status and (known := self._known(run)):
            return known
        return Outcome("unjudged", f"{ended.code}: {ended.message}")

    def _results(self, base: JudgedModel) -> Results:
        return Results(self.sweep, base, self.outcomes)

    def _write(self, base: JudgedModel) -> Path:
        return write_pages(self.folder.out, self._results(base))

    def _prune(self, base: JudgedModel) -> None:
        """Of points whose runs are all judged, the best keeps its models; their answers are kept of all."""
        if self.sweep.keep_models == "all":
            return
        results = self._results(base)
        whole: list[Point] = [point for point in self.sweep.points if results.is_whole(point)]
        self.folder.forget_models([point for point in whole if point is not results.best_point()])

    def _tell(self, run: Run) -> None:
        done, of = len(self.outcomes), len(self.sweep.runs)
        eta_s = round(sum(self._seconds) / len(self._seconds) * (of - done), 1) if self._seconds else None
        self.events(Event.PROGRESS, step=done, of=of, phase="sweep", run=run.name, eta_s=eta_s)
        self._began = time.monotonic()
        log.info("run %d of %d: %s", done + 1, of, run.name)

    def _told(self, run: Run) -> None:
        outcome = self.outcomes[run.name]
        self._seconds.append(time.monotonic() - self._began)
        figures = outcome.judged.figures if outcome.judged else {}
        self.events(Event.RUN, run=run.name, state=outcome.state, message=outcome.message, **figures)
