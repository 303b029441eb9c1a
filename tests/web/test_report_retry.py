"""A job that was killed while it wrote the report: run again it judges nothing anew, and the report is made."""

import json
import sys

import pytest

from annotator.jobs.services import JobContext
from annotator.models import Evaluation, GateDecision, Job
from annotator.registry.evaluating import evaluate_run
from annotator.registry.gating import gate_again
from annotator.registry.report_files import report_folder, report_read
from annotator.registry.training_runs import retrain_run
from tests import factories

# Writes a report and refuses all other verbs: nothing may be judged again.
WRITER = """
import json, pathlib, sys
verb, out = sys.argv[1], pathlib.Path(sys.argv[5])
if verb != "report":
    sys.exit(f"asked to {verb}")
(out / "report.json").write_text(json.dumps({"version": 1, "made": "anew"}))
print(json.dumps({"event": "done", "manifest": {}}), flush=True)
"""
RUNS_AGAIN = {Job.Kind.EVALUATE: evaluate_run, Job.Kind.GATE: gate_again, Job.Kind.RETRAIN: retrain_run}


@pytest.fixture
def writer(settings, tmp_path):
    (tmp_path / "writer.py").write_text(WRITER)
    settings.TRAINER_COMMAND = [sys.executable, str(tmp_path / "writer.py")]
    settings.RUNS_DIR = tmp_path / "runs"
    return settings.RUNS_DIR


def killed(barn, kind: str, runs_dir) -> list[Evaluation]:
    """What such a job of this kind leaves: rows in the database, measures in folders."""
    version = factories.make_version("barn-v1", project=barn.project)
    run = factories.make_training_run(barn.project, version=version, job=factories.make_job(barn.project, kind))
    roles: list = [None]
    if kind != Job.Kind.EVALUATE:
        gate = factories.make_gate(run, "reject", job=run.job)
        run.job.params = {"run": run.number, "snapshot": run.snapshot.number}
        roles = [gate, gate]
    made = []
    for gate, judged in zip(roles, (version, barn.project.serving_version), strict=False):
        (runs_dir / "judged" / judged.name).mkdir(parents=True)
        (runs_dir / "judged" / judged.name / "measures.json").write_text("{}")
        fields = {"version": judged, "folder": f"judged/{judged.name}", "gate": gate, "job": run.job}
        made.append(Evaluation.objects.create(project=barn.project, snapshot=run.snapshot, split="holdout", **fields))
    return made


@pytest.mark.parametrize("kind", RUNS_AGAIN)
def test_job_killed_in_its_report_makes_the_missing_ones_when_it_runs_again(barn, writer, kind):
    made = killed(barn, kind, writer)
    for kept in made[1:]:  # the champion's was whole
        report_folder(kept).mkdir()
        (report_folder(kept) / "report.json").write_text(json.dumps({"version": 1, "made": "before"}))
    RUNS_AGAIN[kind](JobContext(made[0].job))
    assert [report_read(one)["made"] for one in made] == ["anew", "before"][: len(made)]
    assert (Evaluation.objects.count(), GateDecision.objects.count()) == (len(made), len(made) - 1)
