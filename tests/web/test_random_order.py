"""Random order, estimated from the audit: worked by hand, with its interval, and withheld while answers are few."""

import pytest

from annotator.home.curve_page import random_words
from annotator.home.random_order import random_order, random_order_of
from annotator.models import Task
from tests import factories


def answers(changed: int, same: int, seconds: float = 3.0):
    return [(seconds, True)] * changed + [(seconds, False)] * same


def test_ratio_is_changes_a_second_of_the_queue_over_those_of_the_audit():
    # 60 of 100 in 6 s each: 0.1 a second. 10 of 100 in 2 s each: 0.05 a second.
    found = random_order(queue=answers(60, 40, 6.0), audit=answers(10, 90, 2.0), fixed_share=0.2)
    assert found.ratio == pytest.approx(2.0)
    assert 1.0 < found.low < 2.0 < found.high < 6.0
    # A fifth of the time any order would have taken.
    assert found.hours(10.0) == pytest.approx(2.0 + 8.0 * 2.0)


def test_queue_that_is_no_better_than_chance_is_told_as_it_is():
    found = random_order(queue=answers(20, 80), audit=answers(20, 80))
    assert found.ratio == pytest.approx(1.0)
    assert found.low < 1.0 < found.high


@pytest.mark.parametrize(
    ("audit", "more"),
    [
        ([], 30),
        (answers(10, 10), 10),  # 20 answers: ten more
        (answers(1, 39), 160),  # one in forty: five take 200
        (answers(0, 60), 60),  # none yet: as many again
    ],
)
def test_few_audited_answers_tell_nothing_but_how_many_are_needed(audit, more):
    found = random_order(queue=answers(60, 40), audit=audit)
    assert (found.ratio, found.more_audits, found.hours(3.0)) == (None, more, None)
    assert f"About {more} more are needed" in random_words(found, 3.0)[0]


def test_few_answers_of_the_queue_are_said_too():
    found = random_order(queue=answers(3, 3), audit=answers(20, 80))
    assert (found.ratio, found.more_audits) == (None, 0)
    assert "6 answers with a time, of which 3 changed" in random_words(found, 3.0)[0]


def answered(barn, lane: str, verdict: str, presence: float, seconds: float = 4.0, origin: str = "proposal", **fields):
    """A settled task; the model's own mask has 0.7 of the presence as its score."""
    pair = factories.make_pair(barn.project)
    factories.make_prediction(pair, presence)
    task = factories.make_task(barn.project, pair, lane=lane)
    instances = [factories.make_instance(origin=origin)] if verdict == "present" else []
    annotation = factories.make_annotation(
        task, barn.annotator, verdict, instances, **{"active_seconds": seconds, **fields}
    )
    Task.objects.filter(pk=task.pk).update(state=Task.State.APPROVED)
    return annotation


def test_answers_change_something_by_verdict_outline_or_rejected_proposal(barn):
    answered(barn, "audit", "absent", 0.2)  # as the model said
    answered(barn, "audit", "present", 0.9)  # as the model said
    answered(barn, "audit", "present", 0.5)  # its best score, 0.35, was no detection
    answered(barn, "audit", "absent", 0.9)
    answered(barn, "audit", "present", 0.9, origin="drawn")
    answered(barn, "audit", "present", 0.9, rejected_proposals=[0])
    found = random_order_of(project=barn.project)
    assert (found.audit.answers, found.audit.changed, found.audit.seconds) == (6, 4, 24.0)
    assert found.queue.answers == 0


def test_only_what_was_chosen_for_its_doubt_stands_for_the_queue_and_only_with_a_time(barn):
    for lane in ("band", "fill"):
        answered(barn, lane, "absent", 0.9)
    for lane in ("manual", "honeypot", "incomplete", "label_studio"):
        answered(barn, lane, "absent", 0.9)
    answered(barn, "band", "absent", 0.9, seconds=0.0)
    task = factories.make_task(barn.project, predicted=False, lane="audit")  # of the holdout: nothing was proposed
    factories.make_annotation(task, barn.annotator)
    Task.objects.filter(pk=task.pk).update(state=Task.State.APPROVED)
    found = random_order_of(project=barn.project)
    assert (found.queue.answers, found.queue.changed, found.audit.answers) == (2, 2, 0)


def test_time_that_any_order_would_have_taken_is_not_stretched(barn):
    for number in range(30):
        answered(barn, "band", "absent", 0.9, seconds=4.0)  # changes, all of them
        answered(barn, "audit", "absent", 0.9 if number < 6 else 0.2, seconds=4.0)
    answered(barn, "manual", "absent", 0.2, seconds=240.0)
    source = answered(barn, "band", "absent", 0.2, seconds=120.0, frame_of_id=1)
    assert source.frame_of_id == 1
    found = random_order_of(project=barn.project)
    # 120 s of the queue beside 120 s of the audit, 240 s by hand and 120 s of frames, which were no choice of its own.
    assert found.fixed_share == pytest.approx(0.8)
    assert found.ratio == pytest.approx(5.0)
    assert found.hours(10.0) == pytest.approx(8 + 2 * 5)
