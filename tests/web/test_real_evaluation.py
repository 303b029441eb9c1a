"""A real trainer child judges versions that no run made; what it leaves gives the decision again."""

import json
import subprocess
import sys

import pytest
from django.conf import settings as django_settings

from annotator.jobs.runner import job_run
from annotator.models import Evaluation, GateDecision, Pair
from annotator.registry.evaluating import evaluation_ask
from annotator.registry.evaluation_page import figures_of, verdict_of
from annotator.registry.gate_looks import looks_at
from annotator.registry.gating import gate_ask_of
from annotator.registry.judged_files import rows_of
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held_out(tiny_barn, picture):
    """Two pairs of the holdout with the thing, two without."""
    mask = factories.box_rle(20, 20, 90, 90, width=160, height=120)
    for seed, truth in enumerate(("present", "absent") * 2):
        image = picture(tiny_barn.project, seed, split="holdout")
        pair = factories.make_pair(tiny_barn.project, image=image, truth=truth)
        if truth == "present":
            Pair.objects.filter(pk=pair.pk).update(instances=[factories.make_instance(mask)])
    return tiny_barn


def done(job):
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == "succeeded", job.reason
    return job


def test_version_without_a_run_is_evaluated_then_judged_and_its_rows_give_the_decision_again(held_out):
    project, version = held_out.project, factories.make_version("other")
    job = done(evaluation_ask(project=project, version=version, user=held_out.admin))
    evaluation = Evaluation.objects.get()
    assert job.report["evaluation"] == evaluation.pk
    assert (evaluation.split, evaluation.asked_by, evaluation.gate) == ("holdout", held_out.admin, None)
    assert len(evaluation.weights_hash) == 64
    assert {row["image"] for row in rows_of(evaluation)} == set(project.images.values_list("sha256", flat=True))
    assert any(figure.low is not None for figure in figures_of(evaluation))
    assert verdict_of(evaluation).verdict == "label"
    assert looks_at(snapshot=evaluation.snapshot) == 1

    done(gate_ask_of(project=project, version=version, user=held_out.admin))
    gate = GateDecision.objects.get()
    assert (gate.run, gate.challenger, gate.asked_by) == (None, version, held_out.admin)
    assert gate.report["looks"] == 0, "its own figures on these pairs are no second look"
    made = {row.version.name: row for row in gate.evaluations.all()}
    assert set(made) == {"tiny", "other", "demo"}
    assert len(rows_of(made["other"])) == 4
    version.refresh_from_db()
    assert "holdout" not in version.metrics, "a shipped version is other projects', too"

    folder = django_settings.RUNS_DIR / gate.folder
    again = subprocess.run([sys.executable, "-m", "training.again", str(folder)], capture_output=True, text=True)
    assert (again.returncode, json.loads(again.stdout)["equal"]) == (0, True), again.stderr
    assert json.loads(again.stdout)["decision"] == gate.decision
    assert json.loads((folder / "manifest.json").read_text())["rules"] == gate.report["rules"]
    rows = json.loads((folder / "rows.json").read_text())
    rows[0]["challenger"] |= {"predicted": 7, "true_positives": [0] * 10}
    (folder / "rows.json").write_text(json.dumps(rows))
    changed = subprocess.run([sys.executable, "-m", "training.again", str(folder)], capture_output=True, text=True)
    assert (changed.returncode, json.loads(changed.stdout)["equal"]) == (1, False)
