"""How the holdout gets its labels: at random, by hand, without proposals."""

import pytest

from annotator.errors import RoostError
from annotator.models import Image, Task
from annotator.services.holdout import holdout_queue
from annotator.services.mining import mining_start
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
