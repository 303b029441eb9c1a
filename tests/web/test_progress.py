"""How much a person has settled since a moment: the daily goal's count."""

from datetime import timedelta

import pytest
from django.utils import timezone

from annotator.models import Annotation
from tests import factories

PATH = "/api/v1/projects/barn/progress"


def since(hours: float) -> dict:
    return {"since": (timezone.now() - timedelta(hours=hours)).isoformat()}


def test_counts_the_callers_own_tasks_since_then_each_once(barn, api):
    task = factories.make_task(barn.project)
    for verdict in ("absent", "present"):
        factories.make_annotation(task, barn.annotator, verdict=verdict)
    yesterday = factories.make_annotation(factories.make_task(barn.project), barn.annotator, verdict="absent")
    Annotation.objects.filter(pk=yesterday.pk).update(created_at=timezone.now() - timedelta(hours=9))
    factories.make_annotation(factories.make_task(barn.project), barn.reviewer, verdict="absent")
    client = api(barn.annotator)
    assert client.get(PATH, since(8)).json() == {"settled": 1}
    assert client.get(PATH, since(10)).json() == {"settled": 2}


@pytest.mark.parametrize("asked", [{}, {"since": "yesterday"}, {"since": ""}])
def test_a_moment_that_is_none_is_refused(barn, api, asked):
    answer = api(barn.annotator).get(PATH, asked)
    assert (answer.status_code, list(answer.json()["error"]["fields"]["detail"])) == (400, ["since"])


def test_is_for_members_alone(barn, api, client):
    assert api(barn.outsider).get(PATH, since(1)).status_code == 404
    assert client.get(PATH, since(1)).status_code == 401
