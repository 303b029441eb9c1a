"""A run's sample pairs from validation to validation: few, small, and what the trainer told."""

from contextlib import suppress

from django.urls import reverse

from annotator.common.masks import decode_rle, wire_to_rle
from annotator.jobs.services import JobContext
from annotator.models import Job, TrainingRun
from annotator.registry.run_log import RunLog
from annotator.registry.run_samples import sample_kept, steps_shown
from tests import factories
from tests.web.test_pages_training import page_of, sample

LEFT, RIGHT = factories.box_rle(0, 0, 6, 6), factories.box_rle(8, 8, 16, 16)


def told(step: int, found: list, pair_id: int = 7) -> dict:
    return {"event": "sample", "at": "2026-01-01T00:00:00+00:00", "step": step, **sample([LEFT, RIGHT], found, pair_id)}


def validation(step: int, cgf1: float, *, best: bool) -> dict:
    row = {"step": step, "cgf1": cgf1, "pmf1": cgf1, "il_mcc": 1.0, "il_fpr": 0.0, "best": best}
    return {"event": "validation", "at": "2026-01-01T00:00:00+00:00", **row}


def followed(run: TrainingRun, *events: dict) -> TrainingRun:
    with RunLog(run, JobContext(run.job), verb="train") as log:
        for event in events:
            log.take(event)
    return TrainingRun.objects.get(pk=run.pk)


def answer_of(browser, run: TrainingRun) -> dict:
    return browser.get(reverse("run-samples", args=["barn", run.number])).json()


def test_what_was_seen_at_each_validation_is_told_with_its_figure_and_which_one_is_kept(barn, signed_in):
    run = followed(
        factories.make_training_run(barn.project),
        *(validation(0, 0.2, best=True), told(0, []), told(0, [(0.6, LEFT)], pair_id=9)),
        *(validation(50, 0.61, best=True), told(50, [(0.9, LEFT), (0.8, RIGHT)])),
        *(validation(100, 0.5, best=False), told(100, [(0.9, LEFT)])),
    )
    answer = answer_of(signed_in(barn.annotator), run)
    assert answer["steps"] == [
        {"step": 0, "cgf1": 0.2, "kept": False},
        {"step": 50, "cgf1": 0.61, "kept": True},
        {"step": 100, "cgf1": 0.5, "kept": False},
    ]
    first, second = answer["pairs"]
    assert [(one["hit"], one["missed"]) for one in first["seen"]] == [(0, 2), (2, 0), (1, 1)]
    assert (first["text_input"], first["image"]) == ("chicken", "a" * 64)
    assert [one and one["hit"] for one in second["seen"]] == [1, None, None]


def test_masks_of_a_large_picture_are_kept_small_and_in_their_place(barn):
    """3200 x 1600 to 320 x 160: a box of 400 x 200 at (800, 400) is one of 40 x 20 at (80, 40)."""
    box = factories.box_rle(800, 400, 1200, 600, width=3200, height=1600)
    event = {**told(0, [(0.9, box)]), "width": 3200, "height": 1600, "truth": [box]}
    kept = sample_kept(event)
    assert (kept["width"], kept["height"]) == (320, 160)
    (mask,) = kept["masks"]
    assert (mask["kind"], mask["mask"]["crop_xywh"]) == ("hit", [80, 40, 40, 20])
    assert decode_rle(wire_to_rle(mask["mask"], height_px=160, width_px=320)).sum() == 800


def test_object_thinner_than_a_small_picture_s_pixel_does_not_vanish(barn):
    line = factories.box_rle(100, 399, 2000, 401, width=3200, height=1600)
    dot = factories.box_rle(3199, 1599, 3200, 1600, width=3200, height=1600)
    kept = sample_kept({**told(0, [(0.9, line), (0.8, dot)]), "width": 3200, "height": 1600, "truth": []})
    sizes = [one["mask"]["crop_xywh"] for one in kept["masks"]]
    assert sizes[0][2] == 190
    assert sizes[1] == [319, 159, 1, 1]


def test_empty_mask_is_kept_as_one(barn):
    kept = sample_kept(told(0, [(0.9, factories.box_rle(3, 3, 3, 3))]))
    assert kept["masks"][0]["mask"]["crop_xywh"] == [0, 0, 0, 0]


def test_step_that_is_told_again_replaces_the_earlier_telling(barn):
    run = factories.make_training_run(barn.project, samples={"before": [1], "after": [2]})
    followed(run, told(0, []), told(50, []), told(100, []))
    run = followed(TrainingRun.objects.get(pk=run.pk), told(50, [(0.9, LEFT)]), told(150, []))
    assert steps_shown(run) == [0, 50, 100, 150]
    assert run.samples["steps"][1]["pairs"][0]["hit"] == 1
    assert (run.samples["before"], run.samples["after"]) == ([1], [2])


def test_steps_are_thinned_evenly_and_first_and_last_stay(barn):
    run = followed(factories.make_training_run(barn.project), *(told(step, []) for step in range(40)))
    steps = steps_shown(run)
    assert len(steps) == 16
    assert (steps[0], steps[-1]) == (0, 39)


def test_what_was_told_before_a_run_broke_is_kept(barn):
    run = factories.make_training_run(barn.project)
    with suppress(OSError), RunLog(run, JobContext(run.job), verb="train") as log:
        log.take(told(0, [(0.9, LEFT)]))
        raise OSError("the trainer is gone")
    assert steps_shown(TrainingRun.objects.get(pk=run.pk)) == [0]


def test_page_has_the_validations_where_there_are_any_or_may_be(barn, signed_in):
    browser, without = signed_in(barn.annotator), factories.make_training_run(barn.project)
    assert 'id="validations"' not in page_of(browser, without)
    assert 'id="validations"' in page_of(browser, followed(without, told(0, [])))
    job = factories.make_job(barn.project, Job.Kind.RETRAIN, state=Job.State.RUNNING)
    running = factories.make_training_run(barn.project, job=job)
    assert 'aria-labelledby="validations-title" hidden' in page_of(browser, running)
    followed(running, told(0, []))
    series = browser.get(reverse("run-series", args=["barn", running.number])).json()
    assert series["steps_shown"] == [0]
