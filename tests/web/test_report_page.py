"""The report of a run's gate on its page: figures for all, pictures and files for reviewers, a click from the desk."""

import json
import sys

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.data.snapshot_folders import own_folder
from annotator.jobs.services import JobContext
from annotator.models import Pair, Task
from annotator.registry.economics import project_economics
from annotator.registry.report_files import report_folder
from annotator.registry.report_making import gate_reports_make
from annotator.registry.run_files import run_folder
from annotator.registry.trainer_process import launch
from tests import factories
from tests.made_evaluations import made_evaluation, made_gate, made_snapshot
from tests.made_reports import reported_run
from tests.web.test_pages_training import judged_run, page_of


@pytest.fixture
def run(barn, settings, tmp_path):
    settings.RUNS_DIR, settings.IMAGES_DIR = tmp_path / "runs", tmp_path / "images"
    made = judged_run(barn)
    reported_run(made, tmp_path / "made")
    return made


def address(run, **query) -> str:
    asked = "&".join(f"{key}={value}" for key, value in query.items())
    return f"{reverse('run-report', args=['barn', run.number])}?{asked}"


def shown(browser, run, **query) -> str:
    return " ".join(browser.get(address(run, **query)).content.decode().split())


def cards_of(page: str) -> list[dict]:
    return json.loads(page.split('<script id="report-cards" type="application/json">')[1].split("</script>")[0])


def test_page_tells_both_models_figures_with_counts_and_reasons(barn, signed_in, run):
    page = shown(signed_in(barn.annotator), run)
    assert "The gate passed it. Not for unattended use yet: it finds 6 of 6 positives" in page
    assert page.count("<td>45.0 [30.0, 60.0]</td>") >= 2  # champion and challenger
    assert "<td>not judged: no negatives</td>" in page
    assert "selection inflates it" in page
    assert "20.0 seconds" not in page
    assert "0.3 hours of people for 50 objects" in page


def test_every_chart_has_its_numbers_beside_it(barn, signed_in, run):
    page = shown(signed_in(barn.annotator), run)
    charts = json.loads(page.split('<script id="report-charts" type="application/json">')[1].split("</script>")[0])
    assert len(charts) > 12
    for chart in charts:
        assert f'<summary>The numbers<span class="visually-hidden"> of {chart["title"]}</span></summary>' in page
        assert (f'data-chart="{chart["name"]}"' in page) is (chart["kind"] != "matrix")


def test_annotators_see_neither_pictures_nor_files(barn, signed_in, run):
    page = shown(signed_in(barn.annotator), run)
    assert "report-cards" not in page
    assert "are for reviewers and admins" in page
    assert "report.html" not in page


def test_gallery_shows_false_alarms_first_with_truth_and_prediction(barn, signed_in, run):
    cards = cards_of(shown(signed_in(barn.reviewer), run))
    assert [card["kind"] for card in cards] == ["false_alarm"] * 5 + ["missed"]
    assert [len(card["truth"]) for card in cards] == [0] * 5 + [1]
    assert [(card["hit"], card["false"], card["missed"]) for card in cards[4:]] == [(0, 1, 0), (0, 1, 1)]
    missed = cards_of(shown(signed_in(barn.reviewer), run, kind="missed"))
    assert [card["kind"] for card in missed] == ["missed"]


def test_each_picture_is_one_click_from_the_desk(barn, signed_in, run):
    first, second, third = (card["id"] for card in cards_of(shown(signed_in(barn.reviewer), run))[:3])
    pairs = list(Pair.objects.filter(project=barn.project).order_by("pk"))
    waiting = factories.make_task(barn.project, pairs[first - 1], predicted=False)
    answer = factories.make_annotation(
        factories.make_task(barn.project, pairs[second - 1], predicted=False), barn.annotator, "absent"
    )
    cards = cards_of(shown(signed_in(barn.reviewer), run))
    assert [card["address"] for card in cards[:2]] == [
        reverse("desk-task", args=["barn", waiting.pk]),
        reverse("review", args=["barn", answer.pk]),
    ]
    image = pairs[third - 1].image.sha256
    assert cards[2]["address"] == f"{reverse('image', args=['barn', image])}#pair-{pairs[third - 1].pk}"
    for card in cards[:3]:
        assert signed_in(barn.reviewer).get(card["address"].split("#")[0]).status_code == 200


def test_a_blind_second_answer_is_not_opened_from_the_gallery(barn, signed_in, run):
    first = cards_of(shown(signed_in(barn.reviewer), run))[0]
    pair = Pair.objects.get(project=barn.project, image__sha256=first["image"])
    factories.make_task(barn.project, pair, predicted=False, lane=Task.Reason.SECOND_LABEL)
    assert cards_of(shown(signed_in(barn.reviewer), run))[0]["address"].startswith(
        reverse("image", args=["barn", "x"])[:-2]
    )


def test_a_picture_that_left_the_project_is_named_without_a_door(barn, signed_in, run):
    first = cards_of(shown(signed_in(barn.reviewer), run))[0]
    Pair.objects.filter(image__sha256=first["image"]).delete()
    assert cards_of(shown(signed_in(barn.reviewer), run))[0]["address"] == ""


def test_gallery_s_questions_do_not_grow_with_its_pictures(barn, signed_in, run):
    browser = signed_in(barn.reviewer)
    shown(browser, run)
    counts = []
    for kind in ("missed", "false_alarm"):  # one picture, five
        with CaptureQueriesContext(
            connection,
        ) as asked:
            shown(browser, run, kind=kind)
        counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("query", [{"from": "x"}, {"from": -5}, {"from": 10**9}, {"kind": "odd"}])
def test_odd_addresses_show_the_gallery_all_the_same(barn, signed_in, run, query):
    assert len(cards_of(shown(signed_in(barn.reviewer), run, **query))) == 6


def test_unknown_role_and_run_are_404(barn, signed_in, run):
    browser = signed_in(barn.admin)
    assert browser.get(address(run, role="baseline")).status_code == 404
    assert browser.get(reverse("run-report", args=["barn", 987])).status_code == 404


def test_only_the_report_s_own_files_are_served_and_as_downloads(barn, signed_in, run):
    folder = report_folder(run, "challenger")
    (folder / "plots").mkdir()
    for name in ("report.html", "plots/loss.png", "plots/secret.png", "events.jsonl"):
        (folder / name).write_bytes(b"content")
    browser = signed_in(barn.reviewer)

    def got(file: str, role: str = "challenger"):
        return browser.get(reverse("run-report-download", args=["barn", run.number, role, file]))

    assert f"{reverse('run-report', args=['barn', run.number])}challenger/loss.png" in shown(browser, run)
    answer = got("loss.png")
    assert (answer["Content-Type"], b"".join(answer.streaming_content)) == ("image/png", b"content")
    assert got("report.html")["Content-Disposition"].startswith("attachment")
    assert [got(name).status_code for name in ("secret.png", "events.jsonl", "loss.svg", "..")] == [404] * 4
    assert got("loss.png", "baseline").status_code == 404
    assert (
        signed_in(barn.annotator)
        .get(reverse("run-report-download", args=["barn", run.number, "challenger", "loss.png"]))
        .status_code
        == 403
    )


def test_without_a_report_the_page_says_how_to_get_one_or_why_it_failed(barn, signed_in, run):
    folder = report_folder(run, "challenger")
    (folder / "report.json").unlink()
    assert "No report yet" in shown(signed_in(barn.annotator), run)
    (folder / "events.jsonl").write_text(
        '{"event": "error", "code": "absent_file", "message": "rows.json is missing."}\n'
    )
    assert "rows.json is missing." in shown(signed_in(barn.annotator), run)


def test_run_s_page_leads_to_the_report_of_its_newest_gate(barn, signed_in, run):
    assert reverse("run-report", args=["barn", run.number]) in page_of(signed_in(barn.annotator), run)
    again = made_gate(run_folder(run) / "gate-12")
    assert report_folder(run, "champion") == again / "champion" / "report"
    made_gate(run_folder(run) / "gate-9")
    assert report_folder(run, "champion") == again / "champion" / "report"
    assert reverse("run-report", args=["barn", run.number]) not in page_of(signed_in(barn.annotator), run)


def test_gate_is_followed_by_a_report_of_each_model_and_stands_without_one(barn, settings, tmp_path):
    """With the trainer itself; the champion's rows are broken, so that the challenger alone has a report."""
    settings.RUNS_DIR, settings.IMAGES_DIR = tmp_path / "runs", tmp_path / "made" / "images"
    settings.TRAINER_COMMAND = [sys.executable, "-m", "training"]
    run = judged_run(barn, trainer_seconds=3600, hour_price=2, currency="EUR")
    frozen = made_snapshot(tmp_path / "made")
    own_folder(barn.project, run.snapshot.content_hash).parent.mkdir(parents=True, exist_ok=True)
    frozen.folder.rename(own_folder(barn.project, run.snapshot.content_hash))
    gate = made_gate(run_folder(run) / "gate")
    for role in ("champion", "challenger"):
        made_evaluation(gate / role, frozen)
    (gate / "champion" / "rows.json").write_text("[")
    roles = {"champion": barn.project.serving_version, "challenger": run.version}
    gate_reports_make(JobContext(run.job), run=run, snapshot=run.snapshot, roles=roles, gate=gate)
    told = json.loads((gate / "challenger" / "report" / "report.json").read_text())
    assert (told["model"], told["role"], told["faults"]["count"]) == ("barn-v1", "challenger", 6)
    assert told["economics"]["training_amount"] == 2.0
    assert (gate / "challenger" / "report" / "plots" / "metrics.png").is_file()
    assert not (gate / "champion" / "report" / "report.json").exists()


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
    answered(2, 9, 90.0, pair=first.pair, blind=1, twin_of=first)
    assert project_economics(project=barn.project)["rounds"] == [
        {"round": 1, "answers": 2, "images": 2, "instances": 3, "seconds": 20.0},
        {"round": 2, "answers": 1, "images": 1, "instances": 4, "seconds": 8.0},
    ]
