"""Retrains that start by themselves, each once, and what the training page says of them."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotator.models import AuditEvent, Job, Pair, RetrainTry, Snapshot, TrainingRun
from annotator.registry.triggers import date_after, next_retrain, retrain_by_itself, retrains_look
from tests import factories
from tests.web.test_training_run import settle_all


@pytest.fixture
def demo_barn(barn):
    barn.project.serving_version = factories.make_version("demo")
    barn.project.save()
    settle_all(barn)
    Pair.objects.update(settled_at=timezone.now())
    return barn


def wants(barn, **settings) -> None:
    for name, value in settings.items():
        setattr(barn.project, name, value)
    barn.project.save()


def end_run(*, hours_ago: float) -> None:
    """The newest run ended, and everything about it was so many hours ago."""
    then = timezone.now() - timedelta(hours=hours_ago)
    Job.objects.update(state=Job.State.FAILED)
    TrainingRun.objects.update(created_at=then)
    Snapshot.objects.update(created_at=then)
    RetrainTry.objects.update(tried_at=then)
    Pair.objects.update(settled_at=then - timedelta(hours=1))


def test_what_came_with_an_import_is_no_approval(demo_barn):
    Pair.objects.update(truth_source="imported")
    wants(demo_barn, retrain_after_approvals=6)
    assert retrains_look() == []
    assert next_retrain(project=demo_barn.project) == "The next retrain starts by itself after 6 more approvals."


def test_run_starts_once_so_many_pairs_are_approved_and_no_second_beside_it(demo_barn):
    wants(demo_barn, retrain_after_approvals=7)
    assert retrains_look() == []
    assert next_retrain(project=demo_barn.project) == "The next retrain starts by itself after 1 more approval."
    factories.make_pair(
        demo_barn.project, truth="present", settled_at=timezone.now(), image=factories.make_image(demo_barn.project)
    )
    (job,) = retrains_look()
    run = TrainingRun.objects.get(job=job)
    assert (run.trigger, run.job.created_by, run.started_by) == ("approvals", None, "itself, after new approvals")
    assert AuditEvent.objects.get(action="run.start").details == {"trigger": "approvals"}
    assert retrains_look() == []
    assert "A retrain is under way" in next_retrain(project=demo_barn.project)


def test_run_that_has_just_ended_is_rested_upon(demo_barn):
    wants(demo_barn, retrain_after_approvals=1, retrain_rest_hours=6.0)
    retrains_look()
    end_run(hours_ago=5)
    factories.make_pair(
        demo_barn.project, truth="absent", settled_at=timezone.now(), image=factories.make_image(demo_barn.project)
    )
    assert retrains_look() == []
    assert "A retrain is due: it starts by itself on " in next_retrain(project=demo_barn.project)
    end_run(hours_ago=7)
    assert retrains_look() == []  # nothing was approved since
    Pair.objects.filter(truth="absent").update(settled_at=timezone.now())
    assert len(retrains_look()) == 1


def test_refusal_is_told_on_the_page_and_not_tried_again_each_minute(demo_barn, signed_in):
    Pair.objects.filter(image__split="holdout", truth="absent").delete()
    wants(demo_barn, retrain_after_approvals=2)
    assert retrains_look() == []
    tried_at = RetrainTry.objects.get().tried_at
    assert retrains_look() == []
    assert RetrainTry.objects.get().tried_at == tried_at
    page = signed_in(demo_barn.admin).get(reverse("training", args=["barn"])).content.decode()
    assert "did not: The snapshot has no negatives in its holdout split" in page


def test_two_workers_that_look_at_once_start_one_run(demo_barn):
    wants(demo_barn, retrain_after_approvals=2)
    RetrainTry.objects.create(project=demo_barn.project, counts_from=timezone.now())
    first = type(demo_barn.project).objects.select_related("retrain_try").get(pk=demo_barn.project.pk)
    second = type(demo_barn.project).objects.select_related("retrain_try").get(pk=demo_barn.project.pk)
    assert retrain_by_itself(project=first) is not None
    # The second still believes that nobody has tried; for all else it knows, a run is due.
    long_ago = timezone.now() - timedelta(days=9)
    Job.objects.update(state=Job.State.SUCCEEDED)
    TrainingRun.objects.update(created_at=long_ago)
    Snapshot.objects.update(created_at=long_ago)
    assert second.retrain_try.tried_at is None
    assert retrain_by_itself(project=second) is None
    assert TrainingRun.objects.count() == 1


def test_calendar_counts_from_when_it_was_turned_on(demo_barn):
    wants(demo_barn, retrain_schedule="monthly")
    assert retrains_look() == []
    RetrainTry.objects.update(counts_from=timezone.now() - timedelta(days=32))
    (job,) = retrains_look()
    assert TrainingRun.objects.get(job=job).trigger == "schedule"


def test_nothing_starts_by_itself_unless_it_is_set(demo_barn):
    assert retrains_look() == []
    assert next_retrain(project=demo_barn.project) == "No retrain starts by itself in this project."
    wants(demo_barn, retrain_after_approvals=40, retrain_schedule="monthly")
    words = next_retrain(project=demo_barn.project)
    assert words.startswith("The next retrain starts by itself after 34 more approvals or on 1 ")
    assert words.endswith(" at 02:00 UTC, whichever comes first.")


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("monthly", (2026, 11, 27, 14, 0), (2026, 12, 1, 2, 0)),
        ("monthly", (2026, 12, 1, 1, 59), (2026, 12, 1, 2, 0)),
        ("monthly", (2026, 12, 1, 2, 0), (2027, 1, 1, 2, 0)),
        ("monthly", (2026, 1, 31, 12, 0), (2026, 2, 1, 2, 0)),
        ("weekly", (2026, 11, 27, 14, 0), (2026, 11, 30, 2, 0)),
        ("weekly", (2026, 11, 30, 2, 0), (2026, 12, 7, 2, 0)),
    ],
)
def test_calendar_s_next_date(schedule, after, expected):
    assert date_after(datetime(*after, tzinfo=UTC), schedule) == datetime(*expected, tzinfo=UTC)


def test_button_is_told_as_what_started_the_run(demo_barn, signed_in):
    signed_in(demo_barn.admin).post(reverse("retrain", args=["barn"]), {"steps": "4"})
    run = TrainingRun.objects.get()
    assert (run.trigger, run.started_by) == ("button", "admin, by the button")
    page = signed_in(demo_barn.admin).get(reverse("run", args=["barn", run.number])).content.decode()
    assert "started by admin, by the button" in page
