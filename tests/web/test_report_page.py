"""The report of an evaluation on its page: figures for all, pictures and files for reviewers, a click from the desk."""

import json
import sys

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.data.snapshot_folders import own_folder
from annotator.jobs.services import JobContext
from annotator.models import Evaluation, Pair, Task
from annotator.registry.economics import project_economics
from annotator.registry.report_files import report_folder
from annotator.registry.report_making import evaluation_report_make, gate_reports_make
from annotator.registry.run_files import run_folder
from annotator.registry.trainer_process import launch
from tests import factories
from tests.made_evaluations import made_evaluation, made_gate, made_snapshot
from tests.made_reports import reported_gate
from tests.web.test_pages_training import judged_run, page_of


@pytest.fixture
def run(barn, settings, tmp_path):
    settings.RUNS_DIR, settings.IMAGES_DIR = tmp_path / "runs", tmp_path / "images"
    return judged_run(barn)


@pytest.fixture
def judged(run, tmp_path) -> Evaluation:
    """The challenger's, with its report; the champion's is beside it."""
    return reported_gate(run, tmp_path / "made")[0]


def address(judged, **query) -> str:
    asked = "&".join(f"{key}={value}" for key, value in query.items())
    return f"{reverse('evaluation-report', args=['barn', judged.pk])}?{asked}"


def shown(browser, judged, **query) -> str:
    return " ".join(browser.get(address(judged, **query)).content.decode().split())


def cards_of(page: str) -> list[dict]:
    return json.loads(page.split('<script id="report-cards" type="application/json">')[1].split("</script>")[0])


def test_page_tells_both_models_figures_with_counts_and_reasons(barn, signed_in, judged):
    page = shown(signed_in(barn.annotator), judged)
    assert "The gate passed it. Not for unattended use yet: it finds 6 of 6 positives" in page
    assert page.count("<td>45.0 [30.0, 60.0]</td>") >= 2  # champion and challenger
    assert "<td>not judged: no negatives</td>" in page
    assert "selection inflates it" in page
    assert "20.0 seconds" not in page
    assert "0.3 hours of people for 50 objects" in page


def test_every_chart_has_its_numbers_beside_it(barn, signed_in, judged):
    page = shown(signed_in(barn.annotator), judged)
    charts = json.loads(page.split('<script id="report-charts" type="application/json">')[1].split("</script>")[0])
    assert len(charts) > 12
    for chart in charts:
        assert f'<summary>The numbers<span class="visually-hidden"> of {chart["title"]}</span></summary>' in page
        assert (f'data-chart="{chart["name"]}"' in page) is (chart["kind"] != "matrix")


def test_annotators_see_neither_pictures_nor_files(barn, signed_in, judged):
    page = shown(signed_in(barn.annotator), judged)
    assert "report-cards" not in page
    assert "are for reviewers and admins" in page
    assert "report.html" not in page


def test_gallery_shows_false_alarms_first_with_truth_and_prediction(barn, signed_in, judged):
    cards = cards_of(shown(signed_in(barn.reviewer), judged))
    assert [card["kind"] for card in cards] == ["false_alarm"] * 5 + ["missed"]
    assert [len(card["truth"]) for card in cards] == [0] * 5 + [1]
    assert [(card["hit"], card["false"], card["missed"]) for card in cards[4:]] == [(0, 1, 0), (0, 1, 1)]
    missed = cards_of(shown(signed_in(barn.reviewer), judged, kind="missed"))
    assert [card["kind"] for card in missed] == ["missed"]


def test_each_picture_is_one_click_from_the_desk(barn, signed_in, judged):
    first, second, third = (card["id"] for card in cards_of(shown(signed_in(barn.reviewer), judged))[:3])
    pairs = list(Pair.objects.filter(project=barn.project).order_by("pk"))
    waiting = factories.make_task(barn.project, pairs[first - 1], predicted=False)
    answer = factories.make_annotation(
        factories.make_task(barn.project, pairs[second - 1], predicted=False), barn.annotator, "absent"
    )
    cards = cards_of(shown(signed_in(barn.reviewer), judged))
    assert [card["address"] for card in cards[:2]] == [
        reverse("desk-task", args=["barn", waiting.pk]),
        reverse("review", args=["barn", answer.pk]),
    ]
    image = pairs[third - 1].image.sha256
    assert cards[2]["address"] == f"{reverse('image', args=['barn', image])}#pair-{pairs[third - 1].pk}"
    for card in cards[:3]:
        assert signed_in(barn.reviewer).get(card["address"].split("#")[0]).status_code == 200


def test_a_blind_second_answer_is_not_opened_from_the_gallery(barn, signed_in, judged):
    first = cards_of(shown(signed_in(barn.reviewer), judged))[0]
    pair = Pair.objects.get(project=barn.project, image__sha256=first["image"])
    factories.make_task(barn.project, pair, predicted=False, lane=Task.Reason.SECOND_LABEL)
    assert cards_of(shown(signed_in(barn.reviewer), judged))[0]["address"].startswith(
        reverse("image", args=["barn", "x"])[:-2]
    )


def test_a_picture_that_left_the_project_is_named_without_a_door(barn, signed_in, judged):
    first = cards_of(shown(signed_in(barn.reviewer), judged))[0]
    Pair.objects.filter(image__sha256=first["image"]).delete()
    assert cards_of(shown(signed_in(barn.reviewer), judged))[0]["address"] == ""


def test_gallery_s_questions_do_not_grow_with_its_pictures(barn, signed_in, judged):
    browser = signed_in(barn.reviewer)
    shown(browser, judged)
    counts = []
    for kind in ("missed", "false_alarm"):  # one picture, five
        with CaptureQueriesContext(
            connection,
        ) as asked:
            shown(browser, judged, kind=kind)
        counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("query", [{"from": "x"}, {"from": -5}, {"from": 10**9}, {"kind": "odd"}])
def test_odd_addresses_show_the_gallery_all_the_same(barn, signed_in, judged, query):
    assert len(cards_of(shown(signed_in(barn.reviewer), judged, **query))) == 6


def test_unknown_evaluations_and_those_of_other_projects_are_404(barn, signed_in, judged):
    browser = signed_in(barn.admin)
    other = factories.make_project(barn.admin, "Other")
    assert browser.get(reverse("evaluation-report", args=["barn", 987])).status_code == 404
    assert browser.get(reverse("evaluation-report", args=[other.slug, judged.pk])).status_code == 404


def test_only_the_report_s_own_files_are_served_and_as_downloads(barn, signed_in, judged):
    folder = report_folder(judged)
    (folder / "plots").mkdir()
    for name in ("report.html", "plots/metrics.png", "plots/secret.png", "events.jsonl"):
        (folder / name).write_bytes(b"content")
    browser = signed_in(barn.reviewer)

    def place(file: str) -> str:
        return reverse("evaluation-report-download", args=["barn", judged.pk, file])

    assert place("metrics.png") in shown(browser, judged)
    answer = browser.get(place("metrics.png"))
    assert (answer["Content-Type"], b"".join(answer.streaming_content)) == ("image/png", b"content")
    assert browser.get(place("report.html"))["Content-Disposition"].startswith("attachment")
    others = ("secret.png", "events.jsonl", "metrics.svg", "..")
    assert [browser.get(place(name)).status_code for name in others] == [404] * 4
    assert signed_in(barn.annotator).get(place("metrics.png")).status_code == 403


def test_without_a_report_the_page_says_how_to_get_one_or_why_it_failed(barn, signed_in, judged):
    folder = report_folder(judged)
    (folder / "report.json").unlink()
    assert "No report yet" in shown(signed_in(barn.annotator), judged)
    told = {"event": "error", "code": "absent_file", "message": "rows.json is missing."}
    (folder / "events.jsonl").write_text(json.dumps(told) + "\n")
    assert "rows.json is missing." in shown(signed_in(barn.annotator), judged)
    judged.folder = ""
    judged.save()
    assert "No report yet" in shown(signed_in(barn.annotator), judged)


def test_run_s_page_leads_to_the_reports_of_its_gate(barn, signed_in, run, judged):
    page = page_of(signed_in(barn.annotator), run)
    for evaluation in run.gate.evaluations.all():
        assert reverse("evaluation-report", args=["barn", evaluation.pk]) in page


def test_run_s_page_names_no_report_where_none_was_made(barn, signed_in, run):
    assert "Read the report" not in page_of(signed_in(barn.annotator), run)


def test_concept_without_negatives_is_not_judged_on_the_gate_s_page_either(barn, signed_in, run):
    kinds = {
        "pail": {"cgf1": 0.0, "positives": 3, "negatives": 0},
        "egg": {"cgf1": 0.57, "positives": 3, "negatives": 4},
    }
    for role in ("champion", "challenger", "baseline"):
        run.gate.report = run.gate.report | {role: run.gate.report[role] | {"by_concept": kinds}}
    run.gate.save()
    page = page_of(signed_in(barn.annotator), run)
    assert page.count("not judged: no negatives") == 3
    assert page.count('<td class="num">57.0</td>') == 3


def test_figures_that_a_serving_model_was_promoted_for_are_said_to_be_inflated(barn, signed_in, run):
    address = reverse("models", args=["barn"])
    assert "selection inflates" not in signed_in(barn.annotator).get(address).content.decode()
    barn.project.serving_version = run.version
    barn.project.save()
    assert "selection inflates" in signed_in(barn.annotator).get(address).content.decode()


def test_gate_is_followed_by_a_report_of_each_model_and_stands_without_one(barn, run, settings, tmp_path):
    """With the trainer itself; the champion's rows are broken, so that the challenger alone has a report."""
    settings.IMAGES_DIR = tmp_path / "made" / "images"
    settings.TRAINER_COMMAND = [sys.executable, "-m", "training"]
    run.trainer_seconds, run.hour_price, run.currency = 3600, 2, "EUR"
    run.save()
    frozen = made_snapshot(tmp_path / "made")
    kept = own_folder(barn.project, run.snapshot.content_hash)
    kept.parent.mkdir(parents=True, exist_ok=True)
    frozen.folder.rename(kept)
    gate = made_gate(run_folder(run) / "gate")
    run.gate.folder = str(gate.relative_to(settings.RUNS_DIR))
    run.gate.save()
    for role in ("champion", "challenger"):
        made_evaluation(gate / role, frozen)
        shared = {"project": barn.project, "snapshot": run.snapshot, "split": "holdout", "gate": run.gate}
        Evaluation.objects.create(version=getattr(run.gate, role), folder=f"{run.gate.folder}/{role}", **shared)
    (gate / "champion" / "rows.json").write_text("[")
    gate_reports_make(JobContext(run.job), run.gate)
    told = json.loads((gate / "challenger" / "report" / "report.json").read_text())
    assert (told["model"], told["role"], told["faults"]["count"]) == ("barn-v1", "challenger", 6)
    assert told["economics"]["training_amount"] == 2.0
    assert (gate / "challenger" / "report" / "plots" / "metrics.png").is_file()
    assert not (gate / "champion" / "report" / "report.json").exists()


def test_an_evaluation_without_measures_gets_no_report(barn, run):
    bare = Evaluation.objects.create(
        project=barn.project, version=run.version, snapshot=run.snapshot, split="test", folder="evaluations/barn/1"
    )
    assert evaluation_report_make(JobContext(run.job), bare) is False


def test_report_is_made_here_even_where_training_is_a_cluster_s(settings):
    settings.TRAIN_LAUNCH = ["launch=slurm"]
    assert launch("gate") == ["--use-cluster", "1", "launch=slurm"]
    assert launch("report") == []


def test_economics_count_each_task_s_newest_answer_and_all_its_seconds(barn):
    def answered(number: int, objects: int, seconds: float, **fields):
        task = factories.make_task(barn.project, round=number, **fields)
        instances = [factories.make_instance() for _ in range(objects)]
        factories.make_annotation(task, barn.annotator, "present", instances, active_seconds=seconds)
        return task

    task = answered(1, 5, 10.0)
    factories.make_annotation(task, barn.annotator, "present", [factories.make_instance()] * 2, active_seconds=4.0)
    answered(1, 1, 6.0)
    first = answered(2, 4, 8.0)
    answered(2, 9, 90.0, lane=Task.Reason.KNOWN_ANSWER)
    barn.project.person_hour_price = 30
    answered(2, 9, 90.0, pair=first.pair, blind=1, twin_of=first)
    told = project_economics(project=barn.project)
    assert (told["person_hour_price"], told["currency"]) == (30, "USD")
    assert told["rounds"] == [
        {"round": 1, "answers": 2, "images": 2, "instances": 3, "seconds": 20.0},
        {"round": 2, "answers": 1, "images": 1, "instances": 4, "seconds": 8.0},
    ]
