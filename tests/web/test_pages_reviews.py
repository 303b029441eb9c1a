"""The list of what waits for review, and the pages around the two desks."""

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotator.models import Review
from annotator.review.reviews_page import PAGE, reviews_page
from tests import factories

REVIEWS = reverse("reviews", args=["barn"])


def answer(barn, author=None):
    return factories.make_annotation(factories.make_task(barn.project), author or barn.annotator)


def test_oldest_answers_come_first_and_start_with_them(barn, signed_in):
    first, second = answer(barn), answer(barn)
    rows, _ = reviews_page(project=barn.project, user=barn.reviewer)
    assert [row.pk for row in rows] == [first.pk, second.pk]
    page = signed_in(barn.reviewer).get(REVIEWS)
    assert page.context["first"] == first


def test_own_answer_is_listed_but_not_offered(barn, signed_in):
    own, other = answer(barn, barn.reviewer), answer(barn)
    page = signed_in(barn.reviewer).get(REVIEWS)
    assert page.context["first"] == other
    assert "your own" in page.content.decode()
    assert reverse("review", args=["barn", own.pk]) not in page.content.decode()


def test_own_answer_is_offered_where_the_project_allows_it(barn, signed_in):
    barn.project.self_review_allowed = True
    barn.project.save()
    own = answer(barn, barn.reviewer)
    assert signed_in(barn.reviewer).get(REVIEWS).context["first"] == own


def test_decided_answers_are_gone(barn, signed_in):
    Review.objects.create(annotation=answer(barn), reviewer=barn.reviewer, decision="approve")
    assert "Nothing waits for review" in signed_in(barn.reviewer).get(REVIEWS).content.decode()


def test_pages_of_answers_hold_every_answer_once(barn):
    made = [answer(barn).pk for _ in range(PAGE + 2)]
    first, more = reviews_page(project=barn.project, user=barn.reviewer)
    second, end = reviews_page(project=barn.project, user=barn.reviewer, after=more)
    assert [row.pk for row in [*first, *second]] == made
    assert end is None


def test_queries_do_not_grow_with_the_list(barn, signed_in):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            signed_in(barn.reviewer).get(REVIEWS)
        return len(queries)

    answer(barn)
    few = count()
    for _ in range(8):
        answer(barn)
    assert count() == few


def test_desk_names_the_task_in_its_address(barn, signed_in):
    task = factories.make_task(barn.project)
    page = signed_in(barn.annotator).get(reverse("desk-task", args=["barn", task.pk])).content.decode()
    assert f'data-task-id="{task.pk}"' in page


def test_review_desk_names_its_annotation(barn, signed_in):
    done = answer(barn)
    page = signed_in(barn.reviewer).get(reverse("review", args=["barn", done.pk])).content.decode()
    assert f'"{done.pk}"' in page
