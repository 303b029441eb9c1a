"""Calls about images, feeds, splits, imports, versions and exports."""

from tempfile import TemporaryDirectory
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from annotator.data.snapshots import snapshot_create
from annotator.models import Feed
from tests import factories
from tests.web.api_case_book import case, settled
from tests.web.api_farm import BARN, V1, post
from tests.web.label_studio_stand_in import TOKEN, running_stand_in
from tests.web.test_training_run import settle_all


@case("POST /projects/{slug}/images")
def post_images(farm):
    def files(*contents: bytes) -> dict[str, Any]:
        return {
            "images": [SimpleUploadedFile(f"{n}.png", data) for n, data in enumerate(contents)],
            "source": "camera 1",
        }

    yield farm.annotator.post(f"{BARN}/images", files(factories.image_bytes()))
    yield farm.admin.post(f"{BARN}/images", {"source": "camera 1"})
    good = factories.image_bytes()
    told = farm.admin.post(f"{BARN}/images", files(good, good, b"no image"))
    assert [row["state"] for row in told.json()["files"]] == ["added", "already_there", "refused"]
    yield told


@case("GET /projects/{slug}/feeds")
def feeds(farm):
    Feed.objects.create(project=farm.project, source="posted")
    yield farm.annotator.get(f"{BARN}/feeds")
    yield farm.outsider.get(f"{BARN}/feeds")


@case("POST /projects/{slug}/feeds")
def feed_new(farm):
    yield post(farm.admin, f"{BARN}/feeds", {"place": "/etc"})  # opened by nobody
    with TemporaryDirectory() as folder, override_settings(SOURCES=[folder]):
        yield post(farm.admin, f"{BARN}/feeds", {"place": folder, "source": "camera 2"})
        yield post(farm.admin, f"{BARN}/feeds", {"place": folder, "source": "camera 2"})


@case("GET /projects/{slug}/splits")
def splits(farm):
    yield farm.annotator.get(f"{BARN}/splits")
    settled(farm)
    yield farm.annotator.get(f"{BARN}/splits")
    yield farm.outsider.get(f"{BARN}/splits")


@case("POST /projects/{slug}/splits/mend")
def mend(farm):
    for split in ("train", "holdout"):
        factories.make_image(farm.project, split=split, scene="a" * 64)
    yield post(farm.annotator, f"{BARN}/splits/mend")
    yield post(farm.admin, f"{BARN}/splits/mend", {"scenes": ["no hash"]})
    mended = post(farm.admin, f"{BARN}/splits/mend", {"scenes": ["a" * 64]})
    assert mended.json() == {"images": 1, "scenes": 1, "left": 0}
    yield mended


@case("POST /projects/{slug}/imports")
def imports(farm):
    yield post(farm.annotator, f"{BARN}/imports", {"place": "/somewhere"})
    yield post(farm.admin, f"{BARN}/imports", {"place": "/etc"})  # opened by nobody
    yield post(farm.admin, f"{BARN}/imports", {"place": "/etc", "kind": "guess"})
    with TemporaryDirectory() as folder, override_settings(SOURCES=[folder]):
        classes = {"hen": "chicken", "goose": ""}
        yield post(farm.admin, f"{BARN}/imports", {"place": folder, "dry_run": True, "classes": classes})
        yield post(farm.admin, f"{BARN}/imports", {"place": folder, "negative_of": ["tractor"]})  # no concept here
        negatives = {"negative_of": ["chicken"], "negatives": {"not-chicken": ["chicken"], "negatives.csv": []}}
        yield post(farm.admin, f"{BARN}/imports", {"place": folder, **negatives})


@case("POST /projects/{slug}/boxes")
def boxes(farm):
    imported = factories.make_job(farm.project, kind="import", state="succeeded")
    yield post(farm.annotator, f"{BARN}/boxes")
    yield post(farm.admin, f"{BARN}/boxes", {"job": imported.pk})  # it brought none
    instances = [factories.make_instance(coarse=True)]
    factories.make_pair(farm.project, instances=instances, settled_by_import=imported)
    yield post(farm.admin, f"{BARN}/boxes", {"job": imported.pk})
    yield post(farm.admin, f"{BARN}/boxes", {"job": imported.pk})  # under way


@case("POST /jobs/{job_id}/undo")
def import_undo(farm):
    imported = factories.make_job(farm.project, kind="import", state="succeeded")
    image = factories.make_image(farm.project, added_by_import=imported)
    yield post(farm.annotator, f"{V1}/jobs/{imported.pk}/undo")
    yield post(farm.admin, f"{V1}/jobs/{imported.pk}/undo")
    image.delete()
    yield post(farm.admin, f"{V1}/jobs/{imported.pk}/undo")


@case("GET /projects/{slug}/images")
def images(farm):
    settled(farm)
    listed = farm.annotator.get(f"{BARN}/images", {"truth": "present", "added_from": "2020-01-01"})
    assert [one["pairs"][0]["truth"] for one in listed.json()["images"]] == ["present"]
    yield listed
    yield farm.annotator.get(f"{BARN}/images", {"split": "moon"})
    yield farm.outsider.get(f"{BARN}/images")


@case("POST /projects/{slug}/images/act")
def images_act(farm):
    pair = factories.make_pair(farm.project)
    told = post(farm.reviewer, f"{BARN}/images/act", {"do": "queue", "images": [pair.image.sha256]})
    assert told.json()["done"] == 1
    yield told
    again = post(farm.reviewer, f"{BARN}/images/act", {"do": "queue", "filter": {"truth": "unseen"}})
    assert again.json()["skipped"] == [
        {"why": "it is in the queue, in somebody's hands or waits for review", "count": 1}
    ]
    yield again
    yield post(farm.reviewer, f"{BARN}/images/act", {"do": "delete", "images": [pair.image.sha256]})
    yield post(farm.reviewer, f"{BARN}/images/act", {"do": "absent", "images": [pair.image.sha256]})
    yield post(farm.annotator, f"{BARN}/images/act", {"do": "queue", "images": [pair.image.sha256]})


@case("POST /projects/{slug}/changes/{change_id}/undo")
def change_undo(farm):
    pair = factories.make_pair(farm.project)
    done = post(farm.admin, f"{BARN}/images/act", {"do": "delete", "images": [pair.image.sha256]}).json()["id"]
    yield post(farm.admin, f"{BARN}/changes/{done}/undo")
    yield post(farm.admin, f"{BARN}/changes/{done}/undo")
    yield post(farm.annotator, f"{BARN}/changes/{done}/undo")


@case("POST /projects/{slug}/snapshots")
def snapshots(farm):
    yield post(farm.admin, f"{BARN}/snapshots")  # of nothing
    settled(farm)
    yield post(farm.admin, f"{BARN}/snapshots", {"name": "Baseline", "tag": "v1.0-baseline"})
    yield post(farm.admin, f"{BARN}/snapshots", {"tag": "no spaces"})


def frozen(farm) -> str:
    settled(farm)
    return f"{BARN}/snapshots/{snapshot_create(project=farm.project, user=farm.barn.admin).number}"


@case("GET /projects/{slug}/snapshots")
def snapshots_listed(farm):
    frozen(farm)
    yield farm.annotator.get(f"{BARN}/snapshots")
    yield farm.outsider.get(f"{BARN}/snapshots")


@case("GET /projects/{slug}/snapshots/{number}")
def snapshot(farm):
    yield farm.annotator.get(frozen(farm))
    yield farm.annotator.get(f"{BARN}/snapshots/99")


@case("PATCH /projects/{slug}/snapshots/{number}")
def snapshot_named(farm):
    path = frozen(farm)
    yield farm.admin.patch(path, {"tag": "v1.0", "notes": "Before the winter."}, format="json")
    yield farm.admin.patch(path, {"tag": "v1..0"}, format="json")
    yield farm.annotator.patch(path, {"name": "Mine"}, format="json")


@case("GET /projects/{slug}/snapshots/{number}/diff/{other}")
def snapshot_diff(farm):
    frozen(farm)
    path = f"{frozen(farm)}/diff"
    told = farm.annotator.get(f"{path}/1")
    assert told.json()["counts"]["removed"] == 2
    yield told
    yield farm.annotator.get(f"{path}/v9")


@case("POST /projects/{slug}/snapshots/{number}/publish")
def snapshot_publish(farm):
    path = f"{frozen(farm)}/publish"
    yield farm.annotator.post(path)
    # Where it is: this test is about the answer, and a machine without DVC has another.
    farm.settings.DVC_PROGRAM = "/bin/true"
    yield post(farm.admin, path)
    yield post(farm.admin, path)  # one is under way


@case("POST /projects/{slug}/exports")
def exports(farm):
    path = f"{BARN}/exports"
    yield post(farm.reviewer, path)  # nothing is settled
    settle_all(farm.barn)
    yield post(farm.annotator, path)
    yield post(farm.reviewer, path, {"format": "yolo", "include_unlooked": True})
    yield post(farm.reviewer, path, {"to": "/tmp/somewhere"})
    yield post(farm.reviewer, path, {"format": "coco", "masks": "polygon", "splits": ["train"], "to": ""})


@case("POST /projects/{slug}/label-studio/pushes")
def label_studio_pushes(farm):
    path = f"{BARN}/label-studio/pushes"
    settle_all(farm.barn)
    yield post(farm.reviewer, path, {"title": "Flock"})
    yield post(farm.admin, path, {"title": ""})
    with running_stand_in() as studio:
        farm.settings.LABEL_STUDIO_URL, farm.settings.LABEL_STUDIO_TOKEN = studio.url, TOKEN
        farm.settings.LABEL_STUDIO_NETWORKS = ["127.0.0.0/8"]
        yield post(farm.admin, path, {"number": 987654})
        yield post(farm.admin, path, {"title": "Flock", "splits": ["train"]})
    yield post(farm.admin, path, {"title": "Flock"})  # one is under way
