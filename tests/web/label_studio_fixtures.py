"""Fixtures and helpers for tests of the bond to Label Studio; conftest.py makes the fixtures known."""

import numpy as np
import pytest

from annotator.jobs.runner import job_run
from annotator.label_studio.links import link_create, pull_request_add, pull_start
from annotator.models import Job
from tests import factories
from tests.web.label_studio_stand_in import TOKEN, StandIn, running_stand_in

SIZE = factories.SIZE_PX


@pytest.fixture(scope="session")
def studio_server():
    with running_stand_in() as studio:
        yield studio


@pytest.fixture
def studio(studio_server, settings) -> StandIn:
    """A Label Studio that answers, and settings that lead to it."""
    settings.LABEL_STUDIO_URL, settings.LABEL_STUDIO_TOKEN = studio_server.url, TOKEN
    settings.LABEL_STUDIO_NETWORKS = ["127.0.0.0/8"]
    studio_server.failing = 0
    studio_server.faults.clear()
    studio_server.asked.clear()
    return studio_server


@pytest.fixture
def link(barn, studio):
    return link_create(project=barn.project, user=barn.admin, number=studio.add_project(), author=barn.annotator)


def picture(seed: int) -> bytes:
    return factories.image_bytes(seed=1000 + seed)


def blob(x: int = 2, y: int = 3, w: int = 7, h: int = 5) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[y : y + h, x : x + w] = True
    return mask


def pull(link, *numbers: int) -> dict:
    """Ring for these tasks, or for all, and do the job; its report."""
    if numbers:
        pull_request_add(link=link, numbers=list(numbers))
        job = Job.objects.create(project=link.project, kind=Job.Kind.LABEL_STUDIO)
    else:
        job = pull_start(project=link.project, user=link.linked_by)
    assert job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED, job.reason
    return job.report
