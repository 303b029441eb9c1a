"""Evaluations by themselves: what is refused at once, what a page tells, and whether it counts as a look."""

import json
import os

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.common.errors import ConflictError, RoostError
from annotator.models import Evaluation, Job
from annotator.registry.evaluating import evaluation_ask
from annotator.registry.evaluation_page import figures_of, verdict_of
from annotator.registry.gate_looks import looks_at
from annotator.registry.judged_files import measures_of, rows_of
from tests import factories
from tests.web.test_gate_looks import row, settled, snapshot_of

GOOD = {"value": 0.9, "n": 200, "low": 0.86, "high": 0.93}
MEASURES = {
    "n": {"pairs": 100, "positives": 50, "negatives": 50, "instances": 120, "scenes": 80},
    "figures": {
        "cgf1": {"value": 0.5, "n": 100, "low": 0.4, "high": 0.6},
        "il_fpr": {"value": None, "n": 0, "low": None, "high": None},
        "ap": {"value": 0.7, "n": 120, "low": 0.65, "high": 0.75},
    },
    "undefined": {"il_fpr": "There is no negative pair."},
    "objects_at": {"0.5": {"precision": GOOD, "recall": GOOD, "f1": GOOD}},
    "by": {"concept": {"chicken": {"n": {"positives": 50, "negatives": 50}, "figures": {"cgf1": GOOD}}}},
}
PRESET = {"name": "pilot", "version": 1, "ap": 0.6, "precision": 0.7, "recall": 0.8}


def weights(name: str) -> None:
    """A folder that looks like a model's."""
    folder = settings.MODELS_DIR / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")


def pair_row(image: str, *, there: int = 0, found: int = 0, right: int = 0, phrase: str = "chicken", scene: str = ""):
    counts = {"instances": there, "predicted": found, "true_positives": [right] * 10, "presence": 0.5}
    shared = {"id": 1, "image": image * 64, "text_input": phrase, "source": "", "scene": scene or image}
    return shared | counts


def evaluated(barn, version, snapshot, split: str = "test", rows: list | None = None, measures=MEASURES, **fields):
    """An evaluation with its files, asked for by itself."""
    job = factories.make_job(barn.project, Job.Kind.EVALUATE, state=Job.State.SUCCEEDED)
    folder = settings.RUNS_DIR / "evaluations" / barn.project.slug / str(job.pk)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.json").write_text(json.dumps(rows or []))
    (folder / "measures.json").write_text(json.dumps(measures))
    told = {"metrics": {"cgf1": 0.5, "pairs": 100}, "preset": PRESET, "weights_hash": version.weights_hash}
    place = str(folder.relative_to(settings.RUNS_DIR))
    fields = told | {"folder": place, "job": job, "asked_by": barn.admin} | fields
    return Evaluation.objects.create(project=barn.project, version=version, snapshot=snapshot, split=split, **fields)


@pytest.fixture
def version(barn):
    weights("barn-v1")
    return factories.make_version("barn-v1", project=barn.project)


def ask(barn, version, **more):
    return evaluation_ask(project=barn.project, version=version, user=barn.admin, **more)


def test_a_version_is_evaluated_on_a_fresh_snapshot_by_a_job(barn, version):
    settled(barn, "test", "present")
    job = ask(barn, version, split="test")
    assert (job.kind, job.created_by) == ("evaluate", barn.admin)
    assert job.params == {"version": "barn-v1", "snapshot": 1, "split": "test", "preset": "pilot"}


def test_what_can_not_be_evaluated_is_refused_by_name(barn, version):
    settled(barn, "test", "present")
    refusals = (
        ({"split": "train"}, "not on «train»"),
        ({"split": "val"}, "no pair in its val split"),
        ({"snapshot": 7}, "no snapshot 7"),
        ({"preset": "moon"}, "no preset «moon»"),
    )
    for asked, words in refusals:
        with pytest.raises(RoostError, match=words):
            ask(barn, version, **{"split": "test"} | asked)
    with pytest.raises(RoostError, match="weights of barn-v9 are not on this machine"):
        ask(barn, factories.make_version("barn-v9", project=barn.project), split="test")
    foreign = factories.make_version("coop-v1", project=factories.make_project(barn.admin, "Coop"))
    with pytest.raises(RoostError, match="another project") as refused:
        ask(barn, foreign, split="test")
    assert refused.value.http_status == 404
    assert not Job.objects.exists()


def test_the_same_question_twice_is_refused_while_it_is_asked_and_once_it_is_answered(barn, version):
    settled(barn, "test", "present")
    ask(barn, version, split="test")
    with pytest.raises(ConflictError, match="being evaluated on this already"):
        ask(barn, version, split="test")
    Job.objects.update(state="succeeded")
    known = evaluated(barn, version, barn.project.snapshots.get(), "test")
    with pytest.raises(ConflictError, match=f"evaluation {known.pk}"):
        ask(barn, version, split="test")
    settled(barn, "test", "absent")
    assert ask(barn, version, split="test").params["snapshot"] == 2


def test_an_evaluation_on_the_holdout_counts_as_a_look_for_every_other_version(barn, version):
    first = snapshot_of(barn, row("a"), row("b", phrase="duck"))
    other, third = (factories.make_version(name, project=barn.project) for name in ("barn-v2", "barn-v3"))
    evaluated(barn, version, first, "holdout")
    evaluated(barn, other, first, "holdout")
    assert looks_at(snapshot=first, challenger=third) == 2
    assert looks_at(snapshot=first, challenger=version) == 1, "its own figures on these pairs are what judges it now"
    grown = snapshot_of(barn, row("a"), row("b", phrase="duck"), row("c"), row("d"))
    assert looks_at(snapshot=grown, challenger=version) == 1, "half of today's pairs were read twice"


def test_what_chooses_no_model_is_no_look(barn, version):
    snapshot, twin = (snapshot_of(barn, row("a"), row("b", phrase="duck"), row(train, split="train")) for train in "xy")
    evaluated(barn, barn.project.serving_version, snapshot, "holdout")
    evaluated(barn, version, snapshot, "test")
    assert looks_at(snapshot=snapshot) == 0
    evaluated(barn, version, snapshot, "holdout")
    evaluated(barn, version, twin, "holdout")  # the same holdout pairs: nothing new is read
    assert looks_at(snapshot=snapshot) == 1
    factories.make_gate(factories.make_training_run(barn.project, version=version, snapshot=snapshot), "reject")
    assert looks_at(snapshot=snapshot) == 1, "the decision has read them, and counts itself"


def test_evaluations_that_the_gate_made_count_with_their_decision(barn, version):
    snapshot = snapshot_of(barn, row("a"), row("b", phrase="duck"))
    gate = factories.make_gate(factories.make_training_run(barn.project, version=version, snapshot=snapshot), "reject")
    evaluated(barn, version, snapshot, "holdout", gate=gate)
    evaluated(barn, factories.make_version("shipped"), snapshot, "holdout", gate=gate)
    assert looks_at(snapshot=snapshot) == 1


def test_figures_have_their_intervals_and_what_is_not_defined_says_why(barn, version):
    found = {one.name: one for one in figures_of(evaluated(barn, version, factories.make_snapshot(barn.project)))}
    assert (found["CGF1"].value, found["CGF1"].low, found["CGF1"].high, found["CGF1"].n) == (0.5, 0.4, 0.6, 100)
    assert (found["IL_FPR"].value, found["IL_FPR"].why) == (None, "There is no negative pair.")
    assert found["Recall of objects"].low == 0.86


def test_the_preset_is_the_one_that_was_kept_with_the_evaluation(barn, version):
    evaluation = evaluated(barn, version, factories.make_snapshot(barn.project))
    assert verdict_of(evaluation).verdict == "deploy"
    assert verdict_of(evaluation, "production").verdict == "label"
    evaluation.preset = PRESET | {"recall": 0.99}
    assert verdict_of(evaluation).sentence.startswith("Check the training: recall is below 99 for certain")


def test_rows_of_two_evaluations_are_kept_in_memory_and_measures_of_more(barn, version):
    """Changed behind its time of change, a file is told as it was for as long as it is kept."""
    snapshot = factories.make_snapshot(barn.project)
    three = [evaluated(barn, version, snapshot, rows=[pair_row("a")]) for _ in range(3)]
    for one in three:
        assert (len(rows_of(one)), measures_of(one)) == (1, MEASURES)
    for one in three:
        for name, content in (("rows.json", []), ("measures.json", {"figures": {}})):
            path = settings.RUNS_DIR / one.folder / name
            times = path.stat()
            path.write_text(json.dumps(content))
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [len(rows_of(one)) for one in reversed(three)] == [1, 1, 0]
    assert [measures_of(one) for one in three] == [MEASURES] * 3


def page_of(signed_in, user, name: str, *more, query: str = "") -> str:
    answer = signed_in(user).get(reverse(name, args=["barn", *more]) + query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_page_tells_figures_verdict_and_that_it_is_a_look(barn, version, signed_in):
    snapshot = factories.make_snapshot(barn.project)
    page = page_of(signed_in, barn.annotator, "evaluation", evaluated(barn, version, snapshot, "holdout").pk)
    assert "[40.0, 60.0]" in page
    assert "There is no negative pair." in page
    assert "Deploy: all that a pilot asks for is reached for certain." in page
    assert "It counts as a look at the holdout" in page
    on_test = page_of(signed_in, barn.annotator, "evaluation", evaluated(barn, version, snapshot, "test").pk)
    assert "It counts as a look" not in on_test


def test_page_shows_another_preset_when_asked(barn, version, signed_in):
    row = evaluated(barn, version, factories.make_snapshot(barn.project))
    assert "for production" in page_of(signed_in, barn.admin, "evaluation", row.pk, query="?preset=production")


def test_page_of_an_evaluation_without_measures_shows_the_bare_figures(barn, version, signed_in):
    row = evaluated(barn, version, factories.make_snapshot(barn.project), folder="")
    page = page_of(signed_in, barn.admin, "evaluation", row.pk)
    assert "50.0" in page
    assert "made without measures" in page


def test_list_shows_a_version_s_own_and_an_admin_s_form_begins_a_job(barn, version, signed_in):
    settled(barn, "test", "present")
    evaluated(barn, version, factories.make_snapshot(barn.project))
    evaluated(barn, factories.make_version("other"), factories.make_snapshot(barn.project), metrics={"cgf1": 0.123})
    assert "12.3" not in page_of(signed_in, barn.annotator, "evaluations", query="?version=barn-v1")
    assert "12.3" in page_of(signed_in, barn.annotator, "evaluations")
    begun = page_of(signed_in, barn.admin, "evaluations", query="?version=other")
    assert '<option value="other" selected>' in begun
    form = {"version": "barn-v1", "snapshot": "", "split": "test", "preset": "production"}
    answer = signed_in(barn.admin).post(reverse("evaluations", args=["barn"]), form)
    job = Job.objects.get(kind="evaluate", state="queued")
    assert answer["Location"] == reverse("job", args=["barn", job.pk])
    assert (job.params["split"], job.params["preset"]) == ("test", "production")


def test_list_of_another_project_s_version_is_not_there(barn, signed_in):
    factories.make_version("coop-v1", project=factories.make_project(barn.admin, "Coop"))
    client = signed_in(barn.annotator)
    for name in ("coop-v1", "nobody"):
        assert client.get(reverse("evaluations", args=["barn"]) + f"?version={name}").status_code == 404


@pytest.mark.parametrize("name", ["evaluations", "gates", "api-gates"])
def test_lists_read_neither_reports_nor_plots_and_ask_no_more_for_more_rows(barn, version, signed_in, name):
    snapshot, browser, counts = factories.make_snapshot(barn.project), signed_in(barn.annotator), []
    for _ in range(2):
        gate = factories.make_gate(factories.make_training_run(barn.project, version=version, snapshot=snapshot))
        evaluated(barn, version, snapshot, "holdout", gate=gate)
        version = factories.make_version(f"more-{gate.pk}", project=barn.project)
        with CaptureQueriesContext(connection) as asked:
            assert browser.get(reverse(name, args=["barn"])).status_code == 200
        told = " ".join(query["sql"] for query in asked)
        assert 'gatedecision"."decision"' in told or 'evaluation"."metrics"' in told
        for heavy in ('gatedecision"."report"', 'trainingrun"."series"', 'trainingrun"."samples"'):
            assert f'{heavy}, "' not in told, "a whole column, not a key out of it"
        counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("change", [{"version": "nobody"}, {"split": "train"}, {"snapshot": "99"}])
def test_bad_form_begins_nothing(barn, version, signed_in, change):
    settled(barn, "test", "present")
    form = {"version": "barn-v1", "snapshot": "", "split": "test", "preset": ""} | change
    assert signed_in(barn.admin).post(reverse("evaluations", args=["barn"]), form).status_code == 400
    assert not Job.objects.exists()
