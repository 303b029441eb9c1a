"""A gated run whose two models have a report, with the pictures that its gallery shows; drawn without matplotlib."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from django.conf import settings

from annotator.models import Image, Pair, TrainingRun
from annotator.registry.run_files import run_folder
from tests import factories
from tests.made_evaluations import HEIGHT_PX, POSITIVES, WIDTH_PX, made_evaluation, made_gate, made_run, made_snapshot
from tests.train.snapshots import Snapshot
from training.launch import StopRequest
from training.reporting.asked import Asked
from training.reporting.work import gathered

ECONOMICS = {"currency": "EUR", "rounds": [{"round": 1, "answers": 40, "images": 20, "instances": 50, "seconds": 1000}]}


def reported_run(run: TrainingRun, root: Path) -> Snapshot:
    """Both roles' report.json beside the run's gate; pictures and pairs in the project."""
    snapshot = made_snapshot(root)
    gate = made_gate(run_folder(run) / "gate")
    made_run(run_folder(run))
    (gate / "economics.json").write_text(json.dumps(ECONOMICS))
    for role in ("champion", "challenger"):
        folder = made_evaluation(gate / role, snapshot)
        asked = Asked(
            evaluation=str(folder),
            snapshot=str(snapshot.folder),
            gate=str(gate),
            role=role,
            run=str(run_folder(run)),
            economics=str(gate / "economics.json"),
            model={"champion": "demo", "challenger": "barn-v1"}[role],
            project=run.project.name,
        )
        (folder / "report").mkdir()
        (folder / "report" / "report.json").write_text(json.dumps(gathered(asked, StopRequest())[0]))
    _store(run, snapshot)
    return snapshot


def _store(run: TrainingRun, snapshot: Snapshot) -> None:
    """Of the holdout, with a truth that is settled."""
    shutil.copytree(snapshot.images, settings.IMAGES_DIR, dirs_exist_ok=True)
    chicken = run.project.concepts.get(name="chicken")
    for number, row in enumerate(snapshot.documents["holdout"]["images"]):
        sha256 = row["file_name"]
        size = (settings.IMAGES_DIR / sha256[:2] / sha256).stat().st_size
        image = Image.objects.create(
            project=run.project,
            sha256=sha256,
            width=WIDTH_PX,
            height=HEIGHT_PX,
            media_type="image/png",
            bytes=size,
            original_name=f"{number}.png",
            split=Image.Split.HOLDOUT,
        )
        truth = Pair.Truth.PRESENT if number < POSITIVES else Pair.Truth.ABSENT
        factories.make_pair(run.project, chicken, image, truth=truth)
