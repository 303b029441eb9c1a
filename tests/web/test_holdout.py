"""How the holdout gets its labels: at random, by hand, without proposals."""

from dataclasses import replace

import pytest
from django.urls import reverse

from annotator.common.errors import RoostError
from annotator.models import Image, Task
from annotator.queue.holdout import holdout_queue
from annotator.queue.holdout_progress import holdout_state
from annotator.queue.mining import mining_start
from tests import factories


def pairs(barn, split: str, count: int) -> list:
    return [
        factories.make_pair(barn.project, image=factories.make_image(barn.project, split=split)) for _ in range(count)
    ]


def queue(barn, count: int) -> list[Task]:
    return holdout_queue(project=barn.project, user=barn.admin, count=count)


def test_only_holdout_pairs_are_queued_and_none_twice(barn):
    pairs(barn, Image.Split.TRAIN, 3), pairs(barn, Image.Split.HOLDOUT, 5)
    first, second = queue(barn, 3), queue(barn, 3)
    assert (len(first), len(second)) == (3, 2)
    assert len({task.pair_id for task in [*first, *second]}) == 5
    assert set(Task.objects.values_list("pair__image__split", flat=True)) == {"holdout"}


def test_annotator_sees_no_proposal_and_why(barn, api):
    (pair,) = pairs(barn, Image.Split.HOLDOUT, 1)
    factories.make_prediction(pair)
    queue(barn, 1)
    task = api(barn.annotator).post("/api/v1/projects/barn/claim").json()
    assert task["proposal"] is None
    assert "by chance" in task["reasons"][0]["words"]


def test_draw_does_not_ask_the_model(barn):
    sure, unsure = pairs(barn, Image.Split.HOLDOUT, 2)
    (first,) = queue(barn, 1)
    Task.objects.all().delete()
    factories.make_prediction(sure, presence=0.99), factories.make_prediction(unsure, presence=0.5)
    (again,) = queue(barn, 1)
    assert again.pair_id == first.pair_id


def test_empty_holdout_is_refused_with_what_to_do(barn):
    with pytest.raises(RoostError, match="import images with the split"):
        queue(barn, 1)


def test_mining_never_touches_the_holdout(barn):
    pairs(barn, Image.Split.HOLDOUT, 2)
    with pytest.raises(RoostError, match="nothing to mine"):
        mining_start(project=barn.project, user=barn.admin)


def test_admin_queues_over_the_api(barn, api):
    pairs(barn, Image.Split.HOLDOUT, 2)
    answer = api(barn.admin).post("/api/v1/projects/barn/holdout", {"count": 5}, format="json")
    assert answer.json() == {"queued": 2}


def test_training_page_says_what_the_holdout_lacks_and_queues_it(barn, signed_in):
    pairs(barn, Image.Split.HOLDOUT, 3)
    factories.make_pair(
        barn.project, image=factories.make_image(barn.project, split=Image.Split.HOLDOUT), truth="absent"
    )
    browser, page = signed_in(barn.admin), reverse("training", args=["barn"])
    assert "the gate can't judge by it" in browser.get(page).content.decode()
    text = browser.post(reverse("holdout-queue", args=["barn"]), {"count": "2"}, follow=True).content.decode()
    assert "2 holdout pairs wait in the queue" in text
    found = holdout_state(project=barn.project)
    assert (found.positives, found.negatives, found.unseen, found.waiting) == (0, 1, 3, 2)


@pytest.mark.parametrize("count", ["0", "1001", "x", ""])
def test_holdout_form_with_no_such_count_queues_nothing_and_says_so(barn, signed_in, count):
    pairs(barn, Image.Split.HOLDOUT, 1)
    page = signed_in(barn.admin).post(reverse("holdout-queue", args=["barn"]), {"count": count}, follow=True)
    assert 'role="alert"' in page.content.decode()
    assert not Task.objects.exists()


def test_holdout_is_the_admins_to_queue(barn, signed_in):
    pairs(barn, Image.Split.HOLDOUT, 1)
    assert signed_in(barn.reviewer).post(reverse("holdout-queue", args=["barn"]), {"count": 1}).status_code == 403
    assert "holdout-count" not in signed_in(barn.reviewer).get(reverse("training", args=["barn"])).content.decode()


def test_few_of_either_are_called_small(barn):
    """z² (1 - m) / m at 95 %: 51.4 positives for a margin of 5 points, 132.6 negatives for one of 2."""
    empty = holdout_state(project=barn.project)
    assert (empty.fewest_positives, empty.fewest_negatives) == (52, 133)
    assert not replace(empty, positives=51, negatives=500).is_comfortable
    assert replace(empty, positives=52, negatives=133).is_comfortable
    barn.project.gate_alarms = "none_more"
    assert holdout_state(project=barn.project).fewest_negatives == barn.project.gate_min_scenes
