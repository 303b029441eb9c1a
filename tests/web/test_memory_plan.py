"""What a retrain would need of the card: asked on the training page, made by the trainer's own command."""

import json

import pytest
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.jobs.runner import job_run
from annotator.models import Job, Pair
from annotator.registry.memory_plans import memory_plan_start
from annotator.registry.run_log import RunLog
from tests import factories

ADVICE = {"micro_pairs": 4, "recompute": "always"}


def planned(barn, **report) -> Job:
    job = factories.make_job(barn.project, kind=Job.Kind.MEMORY_PLAN, state=Job.State.SUCCEEDED)
    Job.objects.filter(pk=job.pk).update(report=report)
    return job


def page(browser, query: str = "") -> str:
    return browser.get(reverse("training", args=["barn"]) + query).content.decode()


def test_plan_is_made_by_the_trainer_for_the_serving_model(tiny_barn):
    job = memory_plan_start(project=tiny_barn.project, user=tiny_barn.admin, config={"text_rate": 0.0, "snapshot": 3})
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED, job.reason
    assert [phase["name"] for phase in job.report["phases"]] == ["load", "encode", "train", "validate"]
    assert "of a card's memory" in job.report["sentence"]


def test_setting_that_there_is_not_is_refused_before_anything_is_planned(tiny_barn):
    with pytest.raises(RoostError, match="base_model"):
        memory_plan_start(project=tiny_barn.project, user=tiny_barn.admin, config={"base_model": "/etc"})
    assert not Job.objects.exists()


def test_button_asks_for_what_the_form_says_and_keeps_it(barn, signed_in):
    factories.make_pair(barn.project, truth=Pair.Truth.ABSENT)
    asked = {"steps": "40", "micro_pairs": "2"}
    answer = signed_in(barn.admin).post(reverse("memory-plan", args=["barn"]), asked)
    assert Job.objects.get(kind=Job.Kind.MEMORY_PLAN).params == {"config": {"steps": 40, "micro_pairs": 2}}
    shown = signed_in(barn.admin).get(answer.url).content.decode()
    assert 'name="micro_pairs" value="2"' in shown
    assert 'name="steps" value="40"' in shown


def test_page_says_what_is_needed_and_fills_in_what_to_change(barn, signed_in):
    factories.make_pair(barn.project, truth=Pair.Truth.ABSENT)
    planned(barn, fits=False, sentence="It needs 30.0 GB of a card's memory.", change=ADVICE)
    shown = page(signed_in(barn.admin))
    assert "It needs 30.0 GB of a card&#x27;s memory." in shown
    assert "?micro_pairs=4&amp;recompute=always&amp;" in shown
    filled = page(signed_in(barn.admin), "?micro_pairs=4&recompute=always&project=7")
    assert 'name="micro_pairs" value="4"' in filled
    assert '<option value="always" selected>' in filled


def test_what_to_change_stands_beside_what_was_asked_for(barn, signed_in):
    factories.make_pair(barn.project, truth=Pair.Truth.ABSENT)
    job = planned(barn, fits=False, sentence="Too much.", change=ADVICE)
    Job.objects.filter(pk=job.pk).update(params={"config": {"steps": 40, "micro_pairs": 16}})
    assert 'training/?steps=40&amp;micro_pairs=4&amp;recompute=always&amp;"' in page(signed_in(barn.admin))


def test_advice_of_an_attempt_that_broke_off_goes_when_the_run_goes_on(barn):
    run = factories.make_training_run(barn.project, series={"advice": ADVICE, "loss": [{"step": 5, "total": 1.0}]})
    RunLog(run, None, verb="train").save()
    run.refresh_from_db()
    assert run.series == {"loss": [{"step": 5, "total": 1.0}], "validation": []}


def test_run_without_memory_offers_what_to_set_next(barn, signed_in):
    run = factories.make_training_run(barn.project)
    event = {"event": "error", "at": "", "code": "out_of_memory", "message": "…", "settings": ADVICE}
    RunLog(run, None, verb="train").take(json.loads(json.dumps(event)))
    shown = signed_in(barn.admin).get(reverse("run", args=["barn", run.number])).content.decode()
    assert f"{reverse('training', args=['barn'])}?micro_pairs=4&amp;recompute=always&amp;" in shown
