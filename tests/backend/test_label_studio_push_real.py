"""What is settled is sent to a real Label Studio, and read back: by its own export, and by Roost's own pull.

Installed on request into a cache folder: ROOST_TEST_LABEL_STUDIO=1 (see tests/backend/label_studio_server.py).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image as PillowImage
from pycocotools.mask import decode as coco_decode

from annotator.common.masks import encode_mask
from annotator.data.image_store import image_add
from annotator.data.snapshots import snapshot_create
from annotator.jobs.runner import job_run
from annotator.label_studio.links import link_create, pull_start
from annotator.label_studio.push import push_start
from annotator.models import Annotation, Image, Job, Pair, Project
from tests import factories
from tests.backend import label_studio_server
from tests.backend.label_studio_server import LabelStudio
from tests.factories import Barn

pytestmark = [pytest.mark.label_studio, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
NAMES = ("chicken", "duck", "goose")
# Upright, (width, height): of no multiple of eight, and one that EXIF turns.
SIZES = {"flock.png": (161, 119), "yard.png": (97, 64), "turned.jpg": (50, 70), "deep.tif": (33, 41)}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    with label_studio_server.running_label_studio(tmp_path_factory.mktemp("label-studio")) as server:
        yield server


@pytest.fixture
def lent(studio: LabelStudio, settings: Any) -> LabelStudio:
    settings.LABEL_STUDIO_URL, settings.LABEL_STUDIO_TOKEN = studio.url, studio.token
    settings.LABEL_STUDIO_NETWORKS = ["127.0.0.0/8", "::1/128"]
    return studio


def picture(name: str) -> bytes:
    """`turned.jpg` lies on its side in the file, `deep.tif` has 16 bits: what no browser shows as it is."""
    width, height = SIZES[name]
    rng, buffer = np.random.default_rng(len(name)), io.BytesIO()
    if name.endswith(".tif"):
        PillowImage.fromarray(rng.integers(0, 65536, (height, width), dtype=np.uint16)).save(buffer, format="TIFF")
    elif name.endswith(".jpg"):
        exif = PillowImage.Exif()
        exif[0x0112] = 6
        pixels = rng.integers(0, 256, (width, height, 3), dtype=np.uint8)
        PillowImage.fromarray(pixels).save(buffer, format="JPEG", exif=exif)
    else:
        PillowImage.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def masks(name: str) -> list[np.ndarray]:
    """Noise of single pixels and holes, and a ring that touches all four sides."""
    width, height = SIZES[name]
    ring = np.ones((height, width), dtype=bool)
    ring[3:-3, 3:-3] = False
    return [np.random.default_rng(7).random((height, width)) > 0.6, ring]


def instances(name: str) -> list[dict[str, Any]]:
    return [factories.make_instance(encode_mask(one.astype(np.uint8))) for one in masks(name)]


def settle(project: Project, image: Image, concept: str, truth: str, **fields: Any) -> None:
    fields |= {"truth_source": "annotated", "instances": fields.get("instances", [])}
    assert project.pairs.filter(image=image, concept__name=concept).update(truth=truth, **fields) == 1


@pytest.fixture
def flock(barn: Barn, lent: LabelStudio) -> Barn:
    """One picture with two masks, a negative and a goose that nobody looked for; one of negatives alone; one that is
    turned, and not outlined completely; one that is drawn anew for browsers; and one that nobody looked at."""
    for name in NAMES[1:]:
        factories.make_concept(barn.project, name)
    stored = {}
    for name in SIZES:
        stored[name], _ = image_add(project=barn.project, stream=io.BytesIO(picture(name)), name=name)
    image_add(project=barn.project, stream=io.BytesIO(factories.image_bytes()), name="unseen.png")
    assert {name: (row.width, row.height) for name, row in stored.items()} == SIZES
    settle(barn.project, stored["flock.png"], "chicken", "present", instances=instances("flock.png"))
    settle(barn.project, stored["flock.png"], "duck", "absent")
    for concept in NAMES:
        settle(barn.project, stored["yard.png"], concept, "absent")
    turned = {"instances": instances("turned.jpg"), "is_exhaustive": False}
    settle(barn.project, stored["turned.jpg"], "duck", "present", **turned)
    settle(barn.project, stored["deep.tif"], "goose", "present", instances=instances("deep.tif"))
    return barn


def pushed(flock: Barn, **options: Any) -> Job:
    job = push_start(project=flock.project, user=flock.admin, **options)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert job.state == Job.State.SUCCEEDED, job.reason
    return job


def counts(job: Job) -> tuple[int, int, int, int, int]:
    """(added, changed, unchanged, left, pictures uploaded)"""
    report = job.report
    return report["added"], report["changed"], report["unchanged"], len(report["left"]), report["uploaded"]


def exported(lent: LabelStudio, number: int) -> dict[str, dict[str, Any]]:
    """{name: task}, as label-studio-sdk exports them: JSON with annotations."""
    from label_studio_sdk import LabelStudio as Sdk

    rows = Sdk(base_url=lent.url, api_key=lent.token).projects.exports.as_json(number)
    return {row["data"]["name"]: row for row in rows}


def alphas(result: list[dict[str, Any]]) -> list[np.ndarray]:
    found = [one for one in result if one["type"] == "brushlabels"]
    sizes = [(one["original_height"], one["original_width"]) for one in found]
    decoded = [decode_rle(one["value"]["rle"]) for one in found]
    return [one.reshape(*size, 4)[..., 3] > 0 for one, size in zip(decoded, sizes, strict=True)]


def choices(result: list[dict[str, Any]], control: str) -> list[str]:
    return sorted(name for one in result if one["from_name"] == control for name in one["value"]["choices"])


def test_pushed_truth_is_what_label_studios_own_export_says(flock: Barn, lent: LabelStudio) -> None:
    job = pushed(flock, title="Flock")
    assert counts(job) == (4, 0, 0, 0, 4)
    rows = exported(lent, job.report["project"])
    assert set(rows) == set(SIZES)
    said = {}
    for name, row in rows.items():
        (annotation,) = row["annotations"]
        assert not annotation["ground_truth"]
        said[name] = annotation["result"]
        expected = [] if name == "yard.png" else masks(name)
        assert all((one == other).all() for one, other in zip(alphas(said[name]), expected, strict=True))
    assert {name: choices(result, "absent") for name, result in said.items()} == {
        "flock.png": ["duck"],
        "yard.png": ["chicken", "duck", "goose"],
        "turned.jpg": [],
        "deep.tif": [],
    }
    assert {name: choices(result, "incomplete") for name, result in said.items()} == {
        "flock.png": ["goose"],
        "yard.png": [],
        "turned.jpg": ["chicken", "duck", "goose"],
        "deep.tif": ["chicken", "duck"],
    }
    assert rows["flock.png"]["data"]["sha256"] == hashlib.sha256(picture("flock.png")).hexdigest()
    assert rows["flock.png"]["data"]["unlooked"] == "goose"


def test_pull_into_another_project_brings_every_mask_and_negative_and_none_that_nobody_settled(
    flock: Barn, lent: LabelStudio
) -> None:
    number = pushed(flock, title="There and back").report["project"]
    other = factories.make_project(flock.admin, "Coop")
    for name in NAMES:
        factories.make_concept(other, name)
    worker = factories.make_member(other)
    # Even vouched for: what nobody settled here is among `incomplete` there.
    link_create(project=other, user=flock.admin, number=number, author=worker, exhaustive=True)
    job = pull_start(project=other, user=flock.admin)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.report["left"], job.report["unknown_labels"]) == ("succeeded", [], {}), job.reason
    found = {(row.pair.image.original_name, row.pair.concept.name): row for row in Annotation.objects.all()}
    # The TIFF came as the PNG that browsers are shown; the others are the very files.
    names = {row.sha256: row.original_name for row in flock.project.images.all()}
    told = {(names.get(row.pair.image.sha256, "deep.tif"), row.pair.concept.name): row for row in found.values()}
    assert {key: row.verdict for key, row in told.items()} == {
        ("flock.png", "chicken"): "present",
        ("flock.png", "duck"): "absent",
        **{("yard.png", name): "absent" for name in NAMES},
        ("turned.jpg", "duck"): "present",
        ("deep.tif", "goose"): "present",
    }
    for (name, _), row in told.items():
        stored = [{**one["mask"], "counts": one["mask"]["counts"].encode()} for one in row.instances]
        expected = masks(name) if row.verdict == "present" else []
        assert [(coco_decode(one) == mask).all() for one, mask in zip(stored, expected, strict=True)] == [
            True for _ in expected
        ]
    assert other.pairs.exclude(truth=Pair.Truth.UNSEEN).count() == 0


def test_second_push_adds_nothing_and_a_change_here_changes_one_task(flock: Barn, lent: LabelStudio) -> None:
    number = pushed(flock, title="Twice").report["project"]
    assert counts(pushed(flock, number=number)) == (0, 0, 4, 0, 0)
    image = flock.project.images.get(original_name="flock.png")
    settle(flock.project, image, "goose", "absent")
    settle(flock.project, image, "chicken", "present", instances=instances("flock.png")[1:])
    assert counts(pushed(flock, number=number)) == (0, 1, 3, 0, 0)
    row = exported(lent, number)["flock.png"]
    (annotation,) = row["annotations"]
    (mask,) = alphas(annotation["result"])
    assert (mask == masks("flock.png")[1]).all()
    assert choices(annotation["result"], "absent") == ["duck", "goose"]
    assert row["data"]["unlooked"] == ""
    # Without what is remembered here, the tasks' own data tell them.
    flock.project.label_studio_pushes.all().delete()
    assert counts(pushed(flock, number=number)) == (0, 0, 4, 0, 0)
    assert len(exported(lent, number)) == 4


def test_what_somebody_changed_there_stays_and_is_told(flock: Barn, lent: LabelStudio) -> None:
    number = pushed(flock, title="Theirs").report["project"]
    (annotation,) = exported(lent, number)["yard.png"]["annotations"]
    theirs = [{**one, "value": {"choices": ["duck"]}} for one in annotation["result"]]
    lent.call("PATCH", f"/api/annotations/{annotation['id']}", {"result": theirs})
    assert counts(pushed(flock, number=number)) == (0, 0, 4, 0, 0)
    settle(flock.project, flock.project.images.get(original_name="yard.png"), "goose", "unseen")
    job = pushed(flock, number=number)
    assert counts(job) == (0, 0, 3, 1, 0)
    assert job.report["left"][0]["name"] == "yard.png"
    assert "Somebody changed its annotation there" in job.report["left"][0]["why"]
    assert exported(lent, number)["yard.png"]["annotations"][0]["result"] == theirs


def test_own_annotations_are_no_news_to_a_pull_and_a_drawn_picture_is_known(flock: Barn, lent: LabelStudio) -> None:
    number = pushed(flock, title="Own").report["project"]
    link_create(project=flock.project, user=flock.admin, number=number, author=flock.annotator)
    drawn = exported(lent, number)["deep.tif"]
    absent = {"id": "a", "from_name": "absent", "to_name": "image", "type": "choices", "value": {"choices": ["duck"]}}
    lent.call("POST", f"/api/tasks/{drawn['id']}/annotations", {"result": [absent]})
    job = pull_start(project=flock.project, user=flock.admin)
    job_run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.report["unchanged"], job.report["added"], job.report["images_added"]) == (3, 1, 0), job.report
    answer = Annotation.objects.get()
    assert (answer.pair.image.original_name, answer.pair.concept.name, answer.verdict) == ("deep.tif", "duck", "absent")


def test_predictions_are_proposals_and_no_annotation(flock: Barn, lent: LabelStudio) -> None:
    number = pushed(flock, title="Proposals", as_predictions=True).report["project"]
    rows = lent.call("GET", f"/api/tasks?project={number}&fields=all")["tasks"]
    assert [(len(row["annotations"]), len(row["predictions"])) for row in rows] == [(0, 1)] * 4
    flocks = next(row for row in rows if row["data"]["name"] == "flock.png")["predictions"][0]
    assert flocks["model_version"] == "roost"
    assert all((one == other).all() for one, other in zip(alphas(flocks["result"]), masks("flock.png"), strict=True))
    assert counts(pushed(flock, number=number, as_predictions=True)) == (0, 0, 4, 0, 0)
    settle(flock.project, flock.project.images.get(original_name="flock.png"), "goose", "absent")
    assert counts(pushed(flock, number=number, as_predictions=True)) == (0, 1, 3, 0, 0)
    # The same tasks take annotations beside them.
    assert counts(pushed(flock, number=number)) == (4, 0, 0, 0, 0)
    assert len(lent.call("GET", f"/api/tasks?project={number}&fields=all")["tasks"]) == 4


def test_snapshot_is_sent_as_it_was(flock: Barn, lent: LabelStudio) -> None:
    snapshot = snapshot_create(project=flock.project, user=flock.admin)
    settle(flock.project, flock.project.images.get(original_name="yard.png"), "duck", "unseen")
    number = pushed(flock, title="Then", snapshot=snapshot.number).report["project"]
    (annotation,) = exported(lent, number)["yard.png"]["annotations"]
    assert choices(annotation["result"], "absent") == ["chicken", "duck", "goose"]


def test_command_pushes_into_a_new_project_and_into_it_again(
    flock: Barn, lent: LabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("label_studio", "barn", push_new="By command", here=True)
    assert "added: 4" in capsys.readouterr().out
    number = flock.project.label_studio_pushes.get().number
    call_command("label_studio", "barn", push=number, here=True)
    told = capsys.readouterr().out
    assert "unchanged: 4" in told
    assert lent.token not in told


def test_own_interface_grows_with_a_new_concept_and_a_strangers_is_refused(flock: Barn, lent: LabelStudio) -> None:
    number = pushed(flock, title="Grows").report["project"]
    factories.make_concept(flock.project, "swan & co")
    image = flock.project.images.get(original_name="flock.png")
    factories.make_pair(
        flock.project,
        flock.project.concepts.get(name="swan & co"),
        image,
        truth="present",
        instances=instances("flock.png"),
    )
    assert counts(pushed(flock, number=number)) == (0, 4, 0, 0, 0)
    rows = exported(lent, number)
    (annotation,) = rows["yard.png"]["annotations"]
    assert choices(annotation["result"], "incomplete") == ["swan & co"]
    brush = '<BrushLabels name="b" toName="img"><Label value="Chicken"/></BrushLabels>'
    config = f'<View><Image name="img" value="$pic"/>{brush}</View>'
    stranger = lent.call("POST", "/api/projects", {"title": "Strange", "label_config": config})["id"]
    with pytest.raises(CommandError, match="no BrushLabels with «duck», «goose», «swan & co»") as refused:
        call_command("label_studio", "barn", push=stranger, here=True)
    assert "no Choices called «absent»" in str(refused.value)
    assert lent.call("GET", f"/api/projects/{stranger}")["task_number"] == 0
