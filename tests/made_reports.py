"""Evaluations with a report, and the pictures that its gallery shows; drawn without matplotlib."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings

from annotator.models import Evaluation, GateDecision, Image, Pair, Project, TrainingRun
from annotator.registry.report_making import role_of
from annotator.registry.run_files import run_folder
from tests import factories
from tests.made_evaluations import HEIGHT_PX, POSITIVES, WIDTH_PX, made_evaluation, made_gate, made_snapshot
from tests.train.snapshots import Snapshot
from training.launch import StopRequest
from training.reporting.asked import Asked
from training.reporting.work import gathered

ECONOMICS = {"currency": "EUR", "rounds": [{"round": 1, "answers": 40, "images": 20, "instances": 50, "seconds": 1000}]}


def reported(evaluation: Evaluation) -> None:
    """A report whose pictures are not in the project: written once a process, for tests that look at no picture."""
    folder = settings.RUNS_DIR / evaluation.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(_bare_report())


@cache
def _bare_report() -> str:
    with TemporaryDirectory() as root:
        snapshot = made_snapshot(Path(root))
        folder = made_evaluation(Path(root) / "evaluation", snapshot)
        asked = Asked(evaluation=str(folder), snapshot=str(snapshot.folder), model="demo")
        return json.dumps(gathered(asked, StopRequest())[0])


def reported_gate(run: TrainingRun, root: Path) -> list[Evaluation]:
    """Challenger, then champion, of the run's gate, each with its report."""
    gate = run.gate
    assert gate is not None
    snapshot = made_snapshot(root)
    made_gate(run_folder(run) / "gate")
    gate.folder = _below(run_folder(run) / "gate")
    gate.save(update_fields=["folder"])
    made = [_judged(gate, role) for role in ("challenger", "champion")]
    for evaluation in made:
        _report(evaluation, snapshot)
    _store(run.project, snapshot)
    return made


def _judged(gate: GateDecision, role: str) -> Evaluation:
    shared = {"project": gate.project, "snapshot": gate.snapshot, "split": "holdout", "gate": gate}
    return Evaluation.objects.create(version=getattr(gate, role), folder=f"{gate.folder}/{role}", **shared)


def _below(folder: Path) -> str:
    return str(folder.relative_to(settings.RUNS_DIR))


def _report(evaluation: Evaluation, snapshot: Snapshot) -> None:
    folder = made_evaluation(settings.RUNS_DIR / evaluation.folder, snapshot)
    (folder / "economics.json").write_text(json.dumps(ECONOMICS))
    role = role_of(evaluation)
    asked = Asked(
        evaluation=str(folder),
        snapshot=str(snapshot.folder),
        gate=str(folder.parent) if role else None,
        role=role,
        economics=str(folder / "economics.json"),
        model=evaluation.version.name,
        project=evaluation.project.name,
    )
    (folder / "report").mkdir(exist_ok=True)
    (folder / "report" / "report.json").write_text(json.dumps(gathered(asked, StopRequest())[0]))


def _store(project: Project, snapshot: Snapshot) -> None:
    """Of the holdout, with a truth that is settled."""
    shutil.copytree(snapshot.images, settings.IMAGES_DIR, dirs_exist_ok=True)
    chicken = project.concepts.get(name="chicken")
    for number, row in enumerate(snapshot.documents["holdout"]["images"]):
        sha256 = row["file_name"]
        size = (settings.IMAGES_DIR / sha256[:2] / sha256).stat().st_size
        image = Image.objects.create(
            project=project,
            sha256=sha256,
            width=WIDTH_PX,
            height=HEIGHT_PX,
            media_type="image/png",
            bytes=size,
            original_name=f"{number}.png",
            split=Image.Split.HOLDOUT,
        )
        truth = Pair.Truth.PRESENT if number < POSITIVES else Pair.Truth.ABSENT
        factories.make_pair(project, chicken, image, truth=truth)
