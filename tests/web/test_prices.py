"""What settling a pair is expected to cost, and where the figures come from."""

import pytest

from annotator.queue.price_figures import price_figures
from annotator.queue.prices import PUBLIC, Figures, price, price_words
from annotator.queue.queue_page import queue_ahead
from tests import factories


def test_sure_pair_costs_a_look_at_each_proposal():
    assert price(1.0, (0.9, 0.8)) == pytest.approx(6.0)


def test_sure_absence_costs_a_verified_negative():
    assert price(0.0, ()) == pytest.approx(6.0)


def test_objects_that_no_proposal_shows_cost_clicks_by_their_chance():
    # 0.5 x 6 s absent + 0.5 x (1 x 3 s + 0.4 x 6 s)
    assert price(0.5, (0.9, 0.4)) == pytest.approx(5.7)


def test_own_figures_replace_the_public_ones():
    assert price(0.5, (0.9,), Figures(absent_seconds=10, check_seconds=20)) == pytest.approx(15.0)


def test_price_is_told_in_words():
    assert price_words((0.9, 0.8, 0.2), 6.2) == "2 objects to check, about 6 s."
    assert price_words((0.9,), 3.4) == "1 object to check, about 3 s."
    assert price_words((), 6.0) == "No outline to check yet, about 6 s."


def answers(barn, count: int, seconds: float, **fields) -> None:
    for _ in range(count):
        task = factories.make_task(barn.project, pair=factories.make_pair(barn.project), lane="band")
        factories.make_annotation(task, barn.annotator, active_seconds=seconds, **fields)


@pytest.mark.django_db
def test_few_answers_leave_the_public_figures(barn):
    answers(barn, 29, 2.0, verdict="absent", instances=[])
    assert price_figures(project=barn.project) == PUBLIC


@pytest.mark.django_db
def test_enough_answers_give_their_medians_kind_by_kind(barn):
    answers(barn, 16, 2.0, verdict="absent", instances=[])
    answers(barn, 15, 9.0, verdict="absent", instances=[])
    accepted = [factories.make_instance(origin="proposal"), factories.make_instance(origin="proposal")]
    answers(barn, 30, 5.0, verdict="present", instances=accepted)
    assert price_figures(project=barn.project) == Figures(2.0, 2.5, PUBLIC.click_seconds)
    answers(barn, 30, 11.5, verdict="present", instances=[*accepted, factories.make_instance(origin="click")])
    # 11.5 s less two checked proposals of 2.5 s.
    assert price_figures(project=barn.project).click_seconds == pytest.approx(6.5)


@pytest.mark.django_db
def test_next_tasks_are_summed_and_unpriced_ones_count_as_the_mean(barn):
    for price_seconds in (4.0, 8.0, None):
        factories.make_task(barn.project, price_seconds=price_seconds)
    ahead = queue_ahead(project=barn.project)
    assert (ahead.tasks, ahead.seconds) == (3, pytest.approx(18.0))


@pytest.mark.django_db
def test_queue_without_prices_promises_no_time(barn):
    factories.make_task(barn.project)
    assert queue_ahead(project=barn.project) is None


@pytest.mark.django_db
def test_answers_of_a_grid_are_no_price(barn):
    answers(barn, 30, 0.6, verdict="absent", instances=[], frame_of_id=1)
    assert price_figures(project=barn.project) == PUBLIC
