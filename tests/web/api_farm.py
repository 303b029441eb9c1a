"""A project and the clients of its people, as the calls of api_cases.py need them."""

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rest_framework.test import APIClient

from annotator.models import Image, Task
from tests import factories
from tests.web.test_submit import wire_instance

V1 = "/api/v1"
BARN = f"{V1}/projects/barn"
POINT = {"x": 80.0, "y": 60.0, "label": 1}
# The backend outlives a test and remembers whose click a newer one overtook: no two tests ask for the same task.
TASKS = itertools.count(70_000)
# Nobody who is signed in is refused these.
NEVER_REFUSED = {f"GET {V1}/projects/", f"GET {V1}/schema/"}


@dataclass
class Farm:
    """A project with rows of every kind, its people's clients, and a running ML backend."""

    barn: factories.Barn
    annotator: APIClient
    reviewer: APIClient
    admin: APIClient
    outsider: APIClient
    picture: Callable[..., Image]
    settings: Any

    @property
    def project(self):
        return self.barn.project

    def held(self, **fields) -> Task:
        """On a picture that the backend can read, held by the annotator."""
        image = self.picture(self.project, Image.objects.count() + 1)
        pair = factories.make_pair(self.project, self.barn.chicken, image)
        rle = factories.box_rle(2, 3, 9, 10, image.width, image.height)
        found = {"mask": rle, "box": [2, 3, 9, 10], "score": 0.35, "query_score": 0.7, "stability": 0.8}
        factories.make_prediction(pair, instances=[found], taught=True)
        return factories.make_task(self.project, pair, **{"pk": next(TASKS), "holder": self.barn.annotator} | fields)

    def submission(self, task: Task, **fields) -> dict:
        image = task.pair.image
        mask = factories.box_rle(4, 3, 11, 10, image.width, image.height)
        prompts = [{"box": [1, 2, 9.5, 8]}, {"x": 3, "y": 3, "label": 0}]
        answer = {"verdict": "present", "instances": [wire_instance(mask, prompts=prompts)], "active_seconds": 2.4}
        return {"attempt": 1, "client_uuid": str(uuid.uuid4()), "rejected_proposals": [0]} | answer | fields

    def submitted(self) -> Task:
        task = self.held()
        assert post(self.annotator, f"{V1}/tasks/{task.pk}/submit", self.submission(task)).status_code == 200
        task.refresh_from_db()
        return task

    def sent_back(self) -> Task:
        """With a comment, a pin and an unfinished draft."""
        task = self.submitted()
        decision = {"decision": "send_back", "comment": "The tail.", "pin": {"x": 5, "y": 6}}
        path = f"{V1}/annotations/{task.annotations.get().pk}/review"
        assert post(self.reviewer, path, decision).status_code == 200
        draft = {"version": 0, "payload": {"masks": [1], "zoom": None}}
        assert self.annotator.put(f"{V1}/tasks/{task.pk}/draft", draft, format="json").status_code == 200
        return task

    def one_pass(self) -> None:
        self.project.one_pass = True
        self.project.save()
        factories.make_concept(self.project, "duck")


def post(client: APIClient, path: str, body: dict | None = None):
    return client.post(path, body or {}, format="json")
