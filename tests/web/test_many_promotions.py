"""No click is lost while versions are promoted and rolled back, over and over.

The long form is ROOST_TEST_PROMOTIONS=1000 python -m pytest tests/web/test_many_promotions.py; else there are 20.
"""

import os
import threading

import pytest
from django.db import connections

from annotator.models import Deployment, Project
from annotator.registry.promotion import version_promote, version_rollback
from tests import factories
from tests.web.api_farm import POINT

PROMOTIONS = int(os.environ.get("ROOST_TEST_PROMOTIONS", "20"))
CLICKERS = 2


class Clicker(threading.Thread):
    """One desk that clicks without a pause until it is told to stop; what it was answered, in counts."""

    def __init__(self, client, task, number: int) -> None:
        super().__init__()
        self._client, self._task, self._number = client, task, number
        self.over = threading.Event()
        self.answered: dict[str, int] = {}
        self.lost: list[tuple[int, str]] = []

    def run(self) -> None:
        sequence = 0
        while not self.over.is_set():
            sequence += 1
            body = {"points": [POINT], "desk": f"desk {self._number}", "sequence": sequence}
            answer = self._client.post(f"/api/v1/tasks/{self._task.pk}/click", body, format="json")
            if answer.status_code == 200 and answer.json()["mask"]["size"]:
                version = answer.json()["model_version"]
                self.answered[version] = self.answered.get(version, 0) + 1
            else:
                self.lost.append((answer.status_code, answer.content.decode()[:200]))
        connections.close_all()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_no_click_is_lost_while_versions_change_places(tiny_barn, picture, api):
    project, admin = tiny_barn.project, tiny_barn.admin
    Deployment.objects.update(version=project.serving_version)
    other = factories.make_version("other", project=project)
    clickers = []
    for number in range(CLICKERS):
        pair = factories.make_pair(project, tiny_barn.chicken, picture(project, 40 + number))
        task = factories.make_task(project, pair, holder=factories.make_member(project), pk=80_000 + number)
        clickers.append(Clicker(api(task.holder), task, number))
    for clicker in clickers:
        clicker.start()
    try:
        for _ in range(PROMOTIONS // 2):
            version_promote(project=project, version=other, user=admin, override_reason="to and fro")
            version_rollback(project=project, user=admin)
    finally:
        for clicker in clickers:
            clicker.over.set()
            clicker.join()
    assert [clicker.lost for clicker in clickers] == [[], []]
    assert all(set(clicker.answered) == {"tiny", "other"} for clicker in clickers)
    assert Deployment.objects.count() == 1 + 2 * (PROMOTIONS // 2)
    assert Project.objects.get(pk=project.pk).serving_version.name == "tiny"
