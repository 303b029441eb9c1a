"""Images are read ahead by the ML backend, and nobody waits for that or fails by it."""

import time

import pytest

from annotator.models import Task
from annotator.registry.promotion import version_promote
from tests import factories
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queue(tiny_barn, picture) -> list[Task]:
    """Six queued images that no model has read, the most valuable first."""
    project = tiny_barn.project
    pairs = [factories.make_pair(project, image=picture(project, 7_000 + number)) for number in range(6)]
    return [factories.make_task(project, pair, priority=1 - number / 10) for number, pair in enumerate(pairs)]


def embedding_of(backend, task: Task, version: str = "tiny") -> str:
    """ "hit" or "miss" of a click on its image."""
    point = {"x": 40, "y": 50, "label": 1}
    body = {"model_version": version, "image": task.pair.image.sha256, "points": [point]}
    return backend.post("/v1/click", body)["embedding"]


def warmed_soon(backend, text: str, at_least: float) -> None:
    wait_until(lambda: count(backend, text) >= at_least)


def count(backend, text: str) -> float:
    rows = [row for row in backend.get("/metrics").splitlines() if row.startswith(text + " ")]
    return float(rows[0].split()[-1]) if rows else 0.0


CLICK_INPUTS = 'roost_stage_ms_count{stage="click_input"}'


def test_claim_warms_its_image_and_the_next_ones(backend, queue, api, tiny_barn):
    before = count(backend, CLICK_INPUTS)
    claimed = api(tiny_barn.annotator).post("/api/v1/projects/barn/claim", {"after": None}, format="json")
    assert claimed.json()["id"] == queue[0].pk
    warmed_soon(backend, CLICK_INPUTS, before + 4)
    assert [embedding_of(backend, task) for task in queue] == ["hit"] * 4 + ["miss"] * 2


def test_claim_does_without_a_backend(no_backend, queue, api, tiny_barn):
    start = time.monotonic()
    claimed = api(tiny_barn.annotator).post("/api/v1/projects/barn/claim", {"after": None}, format="json")
    assert claimed.status_code == 200
    assert time.monotonic() - start < 60


def test_promotion_to_another_vit_warms_the_queue_with_it(backend, queue, tiny_barn):
    before = count(backend, CLICK_INPUTS)
    version = factories.make_version("other", project=tiny_barn.project)
    version_promote(project=tiny_barn.project, version=version, user=tiny_barn.admin, override_reason="a test")
    warmed_soon(backend, CLICK_INPUTS, before + len(queue))
    assert [embedding_of(backend, task, "other") for task in queue] == ["hit"] * len(queue)
