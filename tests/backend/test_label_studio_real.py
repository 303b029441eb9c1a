"""A real Label Studio uses this backend: attach, click, store, submit, webhook, batch pre-labels, start training; and
the web side pulls from it what its annotators said.

Installed on request into a cache folder: ROOST_TEST_LABEL_STUDIO=1 (see tests/backend/label_studio_server.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from label_studio_sdk.converter.brush import decode_rle
from pycocotools.mask import decode as coco_decode

from annotator.jobs.runner import job_run
from annotator.label_studio.spool import label_studio_sweep
from annotator.models import Annotation, Job, LabelStudioLink
from tests.backend.label_studio_server import LabelStudio, running_label_studio
from tests.backend.support import Client, free_port, noisy_picture, png_bytes, served
from tests.factories import Barn
from tests.processes import wait_until

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]
WIDTH, HEIGHT = 160, 120
CONFIG = """<View>
  <Image name="img" value="$image"/>
  <BrushLabels name="brush" toName="img"><Label value="Chicken"/><Label value="Duck"/></BrushLabels>
  <PolygonLabels name="outline" toName="img"><Label value="Chicken"/></PolygonLabels>
  <KeyPointLabels name="points" toName="img" smart="true"><Label value="Chicken"/></KeyPointLabels>
  <RectangleLabels name="boxes" toName="img" smart="true"><Label value="Chicken"/></RectangleLabels>
</View>"""


@dataclass(frozen=True)
class World:
    studio: LabelStudio
    backend: Client
    spool: Path
    project: int
    ml: int
    tasks: list[int]

    def events(self, action: str) -> list[dict[str, Any]]:
        """Once there are any: webhooks are sent within Label Studio's request, but may take a little all the same."""

        def found() -> list[dict[str, Any]]:
            records = [json.loads(path.read_text()) for path in sorted(self.spool.glob("*.json"))]
            return [record for record in records if record["action"] == action]

        wait_until(found)
        return found()

    def click(self, *points: tuple[float, float, bool]) -> dict[str, Any]:
        context = {
            "result": [
                {
                    "original_width": WIDTH,
                    "original_height": HEIGHT,
                    "image_rotation": 0,
                    "is_positive": positive,
                    "id": f"point{i}",
                    "from_name": "points",
                    "to_name": "img",
                    "type": "keypointlabels",
                    "origin": "manual",
                    "value": {"x": x, "y": y, "width": 0.32, "labels": ["Chicken"], "keypointlabels": ["Chicken"]},
                }
                for i, (x, y, positive) in enumerate(points)
            ]
        }
        answer = self.studio.call(
            "POST", f"/api/ml/{self.ml}/interactive-annotating", {"task": self.tasks[0], "context": context}
        )
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture(scope="module")
def world(backend_var: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("label-studio")
    with running_label_studio(folder) as studio:
        environ = {
            "ROOST_DEFAULT_MODEL": "tiny",
            "ROOST_LS_URL": studio.url,
            "ROOST_LS_TOKEN": studio.token,
            "ROOST_LS_NETWORKS": "127.0.0.0/8,::1/128",
            "ROOST_LS_THRESHOLD_PCT": "0",
        }
        with served(backend_var, token="s3cret", **environ) as backend:
            project = studio.call("POST", "/api/projects", {"title": "Barn", "label_config": CONFIG})["id"]
            for i in range(2):
                studio.upload(project, f"picture{i}.png", png_bytes(noisy_picture(i, width=WIDTH, height=HEIGHT)))
            ml = studio.call(
                "POST",
                "/api/ml",
                {
                    "url": backend.base_url + "/ls/default",
                    "project": project,
                    "title": "Roost",
                    "is_interactive": True,
                    "auth_method": "BASIC_AUTH",
                    "basic_auth_user": "roost",
                    "basic_auth_pass": "s3cret",
                },
            )["id"]
            tasks = studio.call("GET", f"/api/tasks?project={project}")["tasks"]
            spool = backend_var / "spool" / "label_studio"
            yield World(studio, backend, spool, project, ml, sorted(task["id"] for task in tasks))


def alpha(region: dict[str, Any]) -> np.ndarray:
    return decode_rle(region["value"]["rle"]).reshape(HEIGHT, WIDTH, 4)[..., 3]


def test_backend_is_attached_and_reports_its_version(world: World) -> None:
    row = world.studio.call("GET", f"/api/ml/{world.ml}")
    assert (row["state"], row["model_version"]) == ("CO", "tiny")
    versions = world.studio.call("GET", f"/api/ml/{world.ml}/versions")
    assert "tiny" in versions["versions"]


def test_click_through_label_studio_draws_a_brush_of_the_images_size(world: World) -> None:
    answer = world.click((30, 40, True))
    region = answer["result"][0]
    assert answer["model_version"] == "tiny"
    assert region["type"] == "brushlabels"
    assert (region["original_width"], region["original_height"]) == (WIDTH, HEIGHT)
    assert alpha(region).any()


def test_negative_click_reaches_the_model(world: World) -> None:
    one, two = world.click((30, 40, True)), world.click((30, 40, True), (60, 70, False))
    assert (alpha(one["result"][0]) != alpha(two["result"][0])).any()


def test_prediction_is_stored_submitted_and_heard_of(world: World) -> None:
    drawn = world.click((30, 40, True))
    stored = world.studio.call("POST", "/api/predictions", {"task": world.tasks[0], **drawn})
    assert stored["model_version"] == "tiny"
    assert stored["result"][0]["value"]["rle"] == drawn["result"][0]["value"]["rle"]
    submitted = world.studio.call(
        "POST",
        f"/api/tasks/{world.tasks[0]}/annotations",
        {"result": drawn["result"], "parent_prediction": stored["id"]},
    )
    event = world.events("ANNOTATION_CREATED")[-1]
    assert (event["project"], event["annotations"]) == (world.project, [submitted["id"]])
    assert event["tasks"] == [world.tasks[0]]
    world.studio.call("DELETE", f"/api/annotations/{submitted['id']}")
    assert world.events("ANNOTATIONS_DELETED")[-1]["annotations"] == [submitted["id"]]


def test_start_training_reaches_the_spool_with_authority(world: World) -> None:
    world.studio.call("POST", f"/api/ml/{world.ml}/train", {})
    event = world.events("START_TRAINING")[-1]
    assert (event["project"], event["authenticated"]) == (world.project, True)


def test_batch_prelabels_are_stored_with_scores(world: World) -> None:
    """Of the second task: Label Studio skips tasks that have a prediction of this model version already."""
    world.studio.call(
        "POST",
        f"/api/dm/actions?id=retrieve_tasks_predictions&project={world.project}",
        {"selectedItems": {"all": True, "excluded": []}},
    )
    predictions = world.studio.call("GET", f"/api/predictions?task={world.tasks[1]}")
    assert [row["model_version"] for row in predictions] == ["tiny"]
    regions = predictions[0]["result"]
    assert len(regions) > 1
    assert all(0 <= region["score"] <= 1 and alpha(region).any() for region in regions)


def test_image_that_cannot_be_fetched_is_an_error_and_no_empty_mask(world: World) -> None:
    other = world.studio.call("POST", "/api/projects", {"title": "Elsewhere", "label_config": CONFIG})["id"]
    world.studio.call("POST", f"/api/projects/{other}/import", [{"image": f"http://localhost:{free_port()}/never.png"}])
    task = world.studio.call("GET", f"/api/tasks?project={other}")["tasks"][0]["id"]
    ml = world.studio.call(
        "POST",
        "/api/ml",
        {
            "url": world.backend.base_url + "/ls/default",
            "project": other,
            "title": "Roost",
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": "roost",
            "basic_auth_pass": "s3cret",
        },
    )["id"]
    point = {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "type": "keypointlabels",
        "value": {"x": 30, "y": 40, "width": 0.3, "keypointlabels": ["Chicken"]},
    }
    answer = world.studio.call(
        "POST", f"/api/ml/{ml}/interactive-annotating", {"task": task, "context": {"result": [point]}}
    )
    assert answer.get("errors")
    assert "data" not in answer


# The other half: what is annotated there comes to the web side, which asks the same Label Studio.


@pytest.fixture
def linked(world: World, barn: Barn, settings: Any) -> LabelStudioLink:
    """The barn, linked to Label Studio's project; whatever lay in the spool before is gone."""
    settings.LABEL_STUDIO_URL, settings.LABEL_STUDIO_TOKEN = world.studio.url, world.studio.token
    settings.LABEL_STUDIO_NETWORKS, settings.LABEL_STUDIO_SPOOL = ["127.0.0.0/8", "::1/128"], world.spool
    call_command("label_studio", "barn", link=world.project, author="annotator")
    for path in world.spool.glob("*.json"):
        path.unlink()
    return LabelStudioLink.objects.get()


def drained(world: World, action: str) -> dict[str, Any]:
    """Wait for the webhook, then do what a worker's sweeper and its job do; the job's report."""
    assert world.events(action)
    (number,) = label_studio_sweep()
    job_run(job_id=number)
    job = Job.objects.get(pk=number)
    assert job.state == Job.State.SUCCEEDED, job.reason
    assert not list(world.spool.glob("*.json"))
    return job.report


def regions(world: World) -> list[dict[str, Any]]:
    """A mask that the model drew, and a polygon by hand: the left half of the picture."""
    polygon = {
        "id": "p" * 10,
        "from_name": "outline",
        "to_name": "img",
        "type": "polygonlabels",
        "image_rotation": 0,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "value": {"points": [[0, 0], [50, 0], [50, 100], [0, 100]], "polygonlabels": ["Chicken"]},
    }
    return [*world.click((30, 40, True))["result"], polygon]


def masks_of(annotation: Annotation) -> list[np.ndarray]:
    stored = [one["mask"] for one in annotation.instances]
    return [coco_decode({**mask, "counts": mask["counts"].encode()}).astype(bool) for mask in stored]


@pytest.mark.django_db
def test_submitted_work_waits_for_review_follows_its_changes_and_goes_with_its_deletion(
    world: World, linked: LabelStudioLink
) -> None:
    drawn = regions(world)
    task = world.tasks[0]
    made = world.studio.call("POST", f"/api/tasks/{task}/annotations", {"result": drawn, "lead_time": 4.5})
    report = drained(world, "ANNOTATION_CREATED")
    assert (report["added"], report["images_added"], report["left"]) == (1, 1, [])
    answer = Annotation.objects.get()
    half = np.zeros((HEIGHT, WIDTH), dtype=bool)
    half[:, : WIDTH // 2] = True
    for found, sent in zip(masks_of(answer), [alpha(drawn[0]) > 0, half], strict=True):
        assert (found == sent).all()
    assert (answer.task.state, answer.author.get_username(), answer.active_seconds) == ("submitted", "annotator", 4.5)
    uploaded = png_bytes(noisy_picture(0, width=WIDTH, height=HEIGHT))
    assert answer.pair.image.sha256 == hashlib.sha256(uploaded).hexdigest()
    world.studio.call("PATCH", f"/api/annotations/{made['id']}", {"result": drawn[1:]})
    assert drained(world, "ANNOTATION_UPDATED")["changed"] == 1
    assert [len(row.instances) for row in Annotation.objects.order_by("revision")] == [2, 1]
    world.studio.call("DELETE", f"/api/annotations/{made['id']}")
    assert drained(world, "ANNOTATIONS_DELETED")["withdrawn"] == 1
    assert [task.state for task in linked.project.tasks.all()] == ["withdrawn"]


@pytest.mark.django_db
def test_pull_fetches_all_tasks_page_by_page_with_a_personal_access_token(
    world: World, linked: LabelStudioLink, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotator.label_studio.client.PAGE_TASKS", 1)
    settings.LABEL_STUDIO_TOKEN = world.studio.call("POST", "/api/token/", {})["token"]
    assert settings.LABEL_STUDIO_TOKEN.count(".") == 2
    made = [
        world.studio.call("POST", f"/api/tasks/{task}/annotations", {"result": regions(world)[1:]})["id"]
        for task in world.tasks
    ]
    call_command("label_studio", "barn", pull=True, here=True)
    assert Annotation.objects.count() == len(world.tasks)
    call_command("label_studio", "barn", pull=True, here=True)
    assert Job.objects.first().report["unchanged"] == len(world.tasks)
    for number in made:
        world.studio.call("DELETE", f"/api/annotations/{number}")


@pytest.mark.django_db
def test_two_presses_of_start_training_are_asked_for_once(world: World, linked: LabelStudioLink, settings: Any) -> None:
    for _ in range(2):
        world.studio.call("POST", f"/api/ml/{world.ml}/train", {})
    assert len(world.events("START_TRAINING")) == 2
    assert label_studio_sweep() == []
    settings.LABEL_STUDIO_TRAIN_SECONDS = 0
    (number,) = label_studio_sweep()
    job_run(job_id=number)
    assert "Nothing is approved yet" in Job.objects.get(pk=number).report["training"]
    assert label_studio_sweep() == []
