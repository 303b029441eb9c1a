"""Clicks before and after a run that tuned the click decoder, from the trainer's event to the run's page."""

from annotator.jobs.services import JobContext
from annotator.registry.run_clicks import run_clicks
from annotator.registry.run_log import RunLog
from tests import factories
from tests.web.test_pages_training import page_of

FIGURES = {"clicks_to_85": 3.25, "clicks_to_90": 5.0, "reached_85": 0.9, "reached_90": 0.7, "iou_after_1": 0.7}
TOLD = {
    "event": "clicks",
    "at": "2026-01-01T00:00:00+00:00",
    "objects": 40,
    "images": 12,
    "base": FIGURES | {"iou_after_3": 0.8},
    "tuned": FIGURES | {"clicks_to_85": 2.5, "iou_after_1": 0.65, "iou_after_3": 0.8125},
    "more_clicks": {"mean": -0.375, "low": -0.6, "high": -0.1},
    "kept": True,
    "sentence": "Tuned, it takes 0.38 clicks fewer an object.",
    "learned_from": {"objects": 200, "with_prompts": 31, "simulated": 169},
}


def told_run(barn):
    run = factories.make_training_run(barn.project)
    with RunLog(run, JobContext(run.job), verb="train") as log:
        log.take(TOLD)
    run.refresh_from_db()
    return run


def test_page_shows_clicks_before_and_after_and_what_they_were_learned_from(barn, signed_in):
    page = " ".join(page_of(signed_in(barn.annotator), told_run(barn)).split())
    assert "Tuned, it takes 0.38 clicks fewer an object." in page
    assert "On 40 objects of 12 images" in page
    for row in ('0.85</th><td class="num">3.25</td> <td class="num good">2.50', '90.0 %</td> <td class="num">90.0 %'):
        assert row in page
    assert '<td class="num warn-ink">65.0 %' in page
    assert "31 with people's own clicks, 169 with simulated ones alone" in page


def test_fewer_clicks_are_better_and_more_overlap_is(barn):
    report = run_clicks(told_run(barn))
    assert [row.better for row in report.rows] == [True, None, None, None, False, True]


def test_run_that_left_the_click_decoder_alone_has_no_such_table(barn, signed_in):
    run = factories.make_training_run(barn.project)
    assert run_clicks(run) is None
    assert "clicks-title" not in page_of(signed_in(barn.annotator), run)
