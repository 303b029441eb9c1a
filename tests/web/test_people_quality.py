"""What the people page says about answers: shares from ten on, and nothing counted that nobody decided."""

import pytest
from django.urls import reverse

from annotator.models import Review, Task
from annotator.people.quality import figures_of
from annotator.queue.pairs import pair_settle
from tests import factories


def answered(barn, *, by="reviewer", decision="approve", author=None, **fields):
    """A first answer, decided; an approved one has settled its pair."""
    done = factories.make_annotation(factories.make_task(barn.project), author or barn.annotator, **fields)
    reviewer = getattr(barn, by) if by else None
    Review.objects.create(annotation=done, reviewer=reviewer, decision=decision)
    if decision == "approve":
        pair_settle(annotation=done)
        Task.objects.filter(pk=done.task_id).update(state=Task.State.APPROVED)
    return done


def figures(barn, user=None):
    return next(row for row in figures_of(project=barn.project) if row.user == (user or barn.annotator))


def test_first_pass_counts_first_answers_that_a_person_decided(barn):
    for number in range(10):
        answered(barn, decision="approve" if number < 7 else "send_back")
    answered(barn, by=None)
    assert (figures(barn).first_pass.part, figures(barn).first_pass.fraction) == (7, 0.7)


def test_under_ten_reviewed_answers_no_share_is_given(barn):
    for _ in range(9):
        answered(barn)
    share = figures(barn).first_pass
    assert (share.part, share.whole, share.fraction) == (9, 9, None)


def test_seconds_are_a_settled_instance_and_count_every_revision(barn):
    two = [factories.make_instance(), factories.make_instance(factories.box_rle(10, 11, 14, 15))]
    for _ in range(5):
        done = answered(barn, instances=two, active_seconds=3.0)
        factories.make_annotation(done.task, barn.annotator, active_seconds=1.0)
        Task.objects.update(state=Task.State.APPROVED)
    assert figures(barn).seconds.fraction == pytest.approx(2.0)


def test_absent_verdict_counts_as_one_instance(barn):
    for _ in range(10):
        answered(barn, verdict="absent", active_seconds=1.5)
    assert figures(barn).seconds.fraction == pytest.approx(1.5)


def test_only_unedited_proposals_count_as_taken(barn):
    kinds = [("proposal", False)] * 6 + [("proposal", True)] * 2 + [("click", False)] * 2
    for origin, edited in kinds:
        answered(barn, instances=[factories.make_instance(origin=origin, edited=edited)])
    assert figures(barn).untouched.fraction == 0.6


def test_overlap_with_the_truth_is_that_of_the_mended_answer(barn):
    for _ in range(10):
        done = answered(barn)
        # 7 x 7 px answered, 6 x 7 of them true: 42 / 49.
        truth = [factories.make_instance(factories.box_rle(2, 3, 8, 10))]
        type(done.pair).objects.filter(pk=done.pair_id).update(instances=truth)
    assert figures(barn).overlap.fraction == pytest.approx(42 / 49)


def test_reviews_given_are_the_reviewer_s(barn):
    answered(barn)
    assert (figures(barn, barn.reviewer).reviews_given, figures(barn).reviews_given) == (1, 0)


def test_fragment_shows_counts_beside_shares_and_what_they_do_not_say(barn, signed_in):
    for _ in range(10):
        answered(barn)
    text = signed_in(barn.reviewer).get(reverse("people-figures", args=["barn"])).content.decode()
    assert "100 %" in text
    assert "10 of 10 reviewed answers" in text
    assert "do not say who works well" in text


def test_people_page_asks_for_the_figures(barn, signed_in):
    text = signed_in(barn.reviewer).get(reverse("people", args=["barn"])).content.decode()
    assert reverse("people-figures", args=["barn"]) in text


def test_few_answers_are_shown_with_what_they_leave_possible(barn, signed_in):
    for _ in range(10):
        answered(barn)
    text = signed_in(barn.reviewer).get(reverse("people-figures", args=["barn"])).content.decode()
    # Wilson, 10 of 10: 0.722 to 1.
    assert "(72 % – 100 %)" in text
