"""The calls of every operation of the API, each for real: test_api_contract.py holds the answers against the document.

A case makes at least one call that succeeds and, but for the lists that anybody may read, one that is refused.
"""

from collections.abc import Callable, Iterator
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from annotator.data.snapshots import snapshot_create
from annotator.models import Feed, Image, Job, Task
from tests import factories
from tests.web.api_farm import BARN, POINT, V1, Farm, post
from tests.web.label_studio_stand_in import TOKEN, running_stand_in
from tests.web.test_promotion import judged
from tests.web.test_training_run import settle_all

Case = Callable[[Farm], Iterator[Any]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    method, path = name.split()
    return lambda calls: CASES.setdefault(f"{method} {V1}{path}", calls)


@case("GET /schema/")
def schema(farm):
    yield farm.annotator.get(f"{V1}/schema/", headers={"accept": "application/vnd.oai.openapi+json"})


@case("GET /projects/")
def projects(farm):
    yield farm.annotator.get(f"{V1}/projects/")


@case("POST /projects/")
def project_new(farm):
    yield post(farm.annotator, f"{V1}/projects/", {"name": "Coop", "concepts": ["hen"]})
    yield post(farm.admin, f"{V1}/projects/", {"name": "Coop", "concepts": []})
    yield post(farm.admin, f"{V1}/projects/", {"name": "Coop", "concepts": ["hen", "goose"]})


@case("GET /projects/{slug}/")
def project(farm):
    factories.make_training_run(farm.project)
    yield farm.annotator.get(f"{BARN}/")
    judged(farm.barn)
    yield farm.annotator.get(f"{BARN}/")
    yield farm.outsider.get(f"{BARN}/")


@case("POST /projects/{slug}/claim")
def claim(farm):
    farm.sent_back()
    returned = post(farm.annotator, f"{BARN}/claim", {"after": None})
    assert returned.json()["returned"]["pin"] == {"x": 5.0, "y": 6.0}
    yield returned
    farm.one_pass()
    first = farm.held(holder=None)
    factories.make_pair(farm.project, farm.project.concepts.get(name="duck"), first.pair.image)
    told = post(farm.annotator, f"{BARN}/claim", {"after": returned.json()["id"]})
    assert [one["concept"]["name"] for one in told.json()["companions"]] == ["duck"]
    yield told
    yield post(farm.reviewer, f"{BARN}/claim")
    yield post(farm.annotator, f"{BARN}/claim", {"after": "x"})


@case("GET /tasks/{task_id}")
def task(farm):
    mine = farm.sent_back()
    yield farm.annotator.get(f"{V1}/tasks/{mine.pk}")
    bare = factories.make_task(farm.project, predicted=False, model_version=None, reasons=[])
    yield farm.reviewer.get(f"{V1}/tasks/{bare.pk}")
    yield farm.annotator.get(f"{V1}/tasks/{bare.pk}")


def held_call(farm, verb: str, **body):
    path = f"{V1}/tasks/{farm.held().pk}/{verb}"
    yield post(farm.annotator, path, {"attempt": 1, **body})
    yield post(farm.annotator, path, {"attempt": 0, **body})


case("POST /tasks/{task_id}/heartbeat")(partial(held_call, verb="heartbeat"))
case("POST /tasks/{task_id}/release")(partial(held_call, verb="release"))
case("POST /tasks/{task_id}/skip")(partial(held_call, verb="skip", reason="Too dark."))


@case("POST /tasks/{task_id}/click")
def click(farm):
    path = f"{V1}/tasks/{farm.held().pk}/click"
    first = post(farm.annotator, path, {"points": [POINT], "sequence": 1})
    yield first
    more = {"points": [POINT], "box": [20, 20, 100, 100], "earlier_mask_id": first.json()["mask_id"], "sequence": 2}
    yield post(farm.annotator, path, more)
    yield post(farm.annotator, path, {"points": [POINT], "sequence": 3, "preview": True})
    yield post(farm.annotator, path, {"points": [POINT], "sequence": 1})  # overtaken
    yield post(farm.annotator, path, {"points": [POINT | {"x": 9999}], "sequence": 4})  # outside the image
    yield post(farm.outsider, path, {"points": [POINT]})


@case("POST /tasks/{task_id}/similar")
def similar(farm):
    path = f"{V1}/tasks/{farm.held().pk}/similar"
    told = post(farm.annotator, path, {"exemplars": [{"box": [20, 24, 70, 80], "label": 1}]})
    assert told.json()["instances"]
    yield told
    yield post(farm.annotator, path, {"exemplars": []})
    yield post(farm.annotator, path, {"exemplars": [{"box": [0, 0, 9999, 80]}]})


@case("POST /tasks/{task_id}/mask")
def mask(farm):
    path = f"{V1}/tasks/{farm.held().pk}"
    drawn = post(farm.annotator, f"{path}/click", {"points": [POINT]}).json()["mask_id"]
    yield post(farm.annotator, f"{path}/mask", {"mask_id": drawn, "threshold": 0.5})
    yield post(farm.annotator, f"{path}/mask", {"mask_id": "never-drawn", "threshold": 0.5})


@case("PUT /tasks/{task_id}/draft")
def draft_put(farm):
    path = f"{V1}/tasks/{farm.held().pk}/draft"
    for _ in range(2):
        yield farm.annotator.put(path, {"version": 0, "payload": {"a": [1, None]}}, format="json")


@case("DELETE /tasks/{task_id}/draft")
def draft_delete(farm):
    path = f"{V1}/tasks/{farm.held().pk}/draft"
    yield farm.annotator.delete(path)
    yield farm.outsider.delete(path)


@case("POST /tasks/{task_id}/submit")
def submit(farm):
    task = farm.held()
    path = f"{V1}/tasks/{task.pk}/submit"
    yield post(farm.annotator, path, farm.submission(task, verdict="absent"))  # with masks
    yield post(farm.annotator, path, farm.submission(task, concept="hen"))  # asks for chicken by now
    yield post(farm.annotator, path, farm.submission(task))
    known = farm.held(lane=Task.Reason.KNOWN_ANSWER)
    farm.project.honeypot_feedback = True
    farm.project.save()
    known.pair.truth, known.pair.truth_source = "absent", "annotated"
    known.pair.settled_at = known.created_at
    known.pair.save()
    told = post(farm.annotator, f"{V1}/tasks/{known.pk}/submit", farm.submission(known))
    assert told.json()["feedback"]["verdict_right"] is False
    yield told


@case("POST /tasks/{task_id}/reopen")
def reopen(farm):
    task = farm.submitted()
    yield post(farm.annotator, f"{V1}/tasks/{task.pk}/reopen")
    yield post(farm.annotator, f"{V1}/tasks/{task.pk}/reopen")


@case("POST /tasks/{task_id}/reassign")
def reassign(farm):
    path = f"{V1}/tasks/{farm.held().pk}/reassign"
    yield post(farm.reviewer, path, {"member": "admin"})
    yield post(farm.annotator, path, {"member": "admin"})


@case("GET /projects/{slug}/progress")
def progress(farm):
    yield farm.annotator.get(f"{BARN}/progress", {"since": "2020-01-01T00:00:00Z"})
    yield farm.annotator.get(f"{BARN}/progress")


def admin_call(farm, verb: str, prepare: Callable[[Farm], object] = lambda farm: None, **body):
    prepare(farm)
    yield post(farm.admin, f"{BARN}/{verb}", body)
    yield post(farm.annotator, f"{BARN}/{verb}", body)


def settled(farm) -> None:
    for truth in ("present", "absent"):
        factories.make_pair(farm.project, truth=truth)


def doubted(farm) -> None:
    """A label that the serving model contradicts with confidence."""
    pair = factories.make_pair(farm.project, truth="absent")
    seen = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "score": 0.9, "query_score": 0.95, "stability": 0.9}
    factories.make_prediction(pair, 0.95, [seen])


def half_outlined(farm) -> None:
    factories.make_pair(farm.project, truth="present", is_exhaustive=False)


def held_out(farm) -> None:
    factories.make_pair(farm.project, image=factories.make_image(farm.project, split=Image.Split.HOLDOUT))


def to_mine(farm) -> None:
    factories.make_pair(farm.project)


case("POST /projects/{slug}/mine")(partial(admin_call, verb="mine", prepare=to_mine, settled=True))
case("POST /projects/{slug}/suspects")(partial(admin_call, verb="suspects", prepare=doubted))
case("POST /projects/{slug}/incomplete")(partial(admin_call, verb="incomplete", prepare=half_outlined))
case("POST /projects/{slug}/holdout")(partial(admin_call, verb="holdout", prepare=held_out, count=1))


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


@case("POST /projects/{slug}/retrain")
def retrain(farm):
    settle_all(farm.barn)
    yield post(farm.admin, f"{BARN}/retrain", {"config": {"base_model": "/etc"}})
    told = post(farm.admin, f"{BARN}/retrain", {"config": {"seed": 1, "steps": 2}})
    assert told.json()["run"] == 1
    yield told
    yield post(farm.admin, f"{BARN}/retrain", {"force": True})  # one runs


@case("POST /projects/{slug}/predict")
def predict(farm):
    yield post(farm.admin, f"{BARN}/predict", {"source": "/etc"})
    folder = farm.settings.VAR_DIR / "opened"
    folder.mkdir(exist_ok=True)
    farm.settings.SOURCES = [str(folder)]
    yield post(farm.admin, f"{BARN}/predict", {"source": str(folder), "threshold": 0.5})


@case("POST /projects/{slug}/promote")
def promote(farm):
    judged(farm.barn, decision="reject")
    yield post(farm.admin, f"{BARN}/promote", {"version": "other"})
    yield post(farm.admin, f"{BARN}/promote", {"version": "other", "override_reason": "It is better on hens."})


@case("POST /projects/{slug}/rollback")
def rollback(farm):
    judged(farm.barn)
    farm.project.deployments.update(version=farm.project.serving_version)
    assert post(farm.admin, f"{BARN}/promote", {"version": "other"}).status_code == 200
    yield post(farm.admin, f"{BARN}/rollback")
    yield post(farm.admin, f"{BARN}/rollback")


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


@case("GET /projects/{slug}/concepts/")
def concepts(farm):
    factories.make_concept(farm.project, "hen", synonyms=["biddy"])
    yield farm.annotator.get(f"{BARN}/concepts/")
    yield farm.outsider.get(f"{BARN}/concepts/")


@case("POST /projects/{slug}/concepts/{concept_id}/rename")
def rename(farm):
    path = f"{BARN}/concepts/{farm.barn.chicken.pk}/rename"
    yield post(farm.admin, path, {"name": "rooster"})
    factories.make_job(farm.project)
    yield post(farm.admin, path, {"name": "cock"})


@case("POST /projects/{slug}/concepts/{concept_id}/merge")
def merge(farm):
    hen = factories.make_concept(farm.project, "hen")
    path = f"{BARN}/concepts/{hen.pk}/merge"
    yield post(farm.admin, path, {"into": farm.barn.chicken.pk, "preview": True})
    yield post(farm.admin, path, {"into": farm.barn.chicken.pk})
    yield post(farm.admin, path, {"into": farm.barn.chicken.pk})  # it is gone
    yield farm.annotator.get(f"{BARN}/concepts/")  # with `merged_into` and `retired_at`


@case("POST /projects/{slug}/concepts/{concept_id}/retire")
def retire(farm):
    hen = factories.make_concept(farm.project, "hen")
    yield post(farm.admin, f"{BARN}/concepts/{hen.pk}/retire")
    yield post(farm.admin, f"{BARN}/concepts/{farm.barn.chicken.pk}/retire")  # the last one
    yield post(farm.annotator, f"{BARN}/concepts/{hen.pk}/retire")


@case("POST /projects/{slug}/concepts/{concept_id}/restore")
def restore(farm):
    hen = factories.make_concept(farm.project, "hen")
    assert post(farm.admin, f"{BARN}/concepts/{hen.pk}/retire").status_code == 200
    yield post(farm.admin, f"{BARN}/concepts/{hen.pk}/restore")
    yield post(farm.annotator, f"{BARN}/concepts/{hen.pk}/restore")


@case("GET /projects/{slug}/reviews/")
def reviews(farm):
    farm.submitted()
    own = farm.held(holder=farm.barn.reviewer)
    assert post(farm.reviewer, f"{V1}/tasks/{own.pk}/submit", farm.submission(own)).status_code == 200
    listed = farm.reviewer.get(f"{BARN}/reviews/")
    assert [row["barred"] for row in listed.json()] == [None, "your own"]
    yield listed
    yield farm.annotator.get(f"{BARN}/reviews/")


def near_certain(farm) -> int:
    """An answer that the serving model confidently gives, too."""
    farm.project.bulk_look_share = 0.0
    farm.project.save()
    pair = factories.make_pair(farm.project)
    seen = {"mask": factories.box_rle(), "box": [2, 3, 9, 10], "score": 0.9, "query_score": 0.95, "stability": 0.9}
    factories.make_prediction(pair, 0.95, [seen])
    return factories.make_annotation(factories.make_task(farm.project, pair), farm.barn.annotator).pk


@case("GET /projects/{slug}/reviews/certain")
def certain(farm):
    near_certain(farm)
    listed = farm.reviewer.get(f"{BARN}/reviews/certain")
    assert len(listed.json()) == 1
    yield listed
    yield farm.annotator.get(f"{BARN}/reviews/certain")


@case("POST /projects/{slug}/reviews/approve")
def approve(farm):
    told = post(farm.reviewer, f"{BARN}/reviews/approve", {"annotations": [near_certain(farm), 999_999]})
    assert [row["approved"] for row in told.json()["results"]] == [True, False]
    yield told
    yield post(farm.reviewer, f"{BARN}/reviews/approve", {"annotations": []})


@case("GET /annotations/{annotation_id}")
def annotation(farm):
    answered = farm.submitted().annotations.get()
    told = farm.reviewer.get(f"{V1}/annotations/{answered.pk}")
    assert len(told.json()["annotation"]["instances"][0]["prompts"]) == 2
    yield told
    yield farm.reviewer.get(f"{V1}/annotations/999999")
    empty = factories.make_task(farm.project, predicted=False, model_version=None)
    absent = factories.make_annotation(empty, farm.barn.annotator, "absent")
    told = farm.reviewer.get(f"{V1}/annotations/{absent.pk}")
    assert told.json()["difference"] is None
    yield told


@case("POST /annotations/{annotation_id}/review")
def review(farm):
    path = f"{V1}/annotations/{farm.submitted().annotations.get().pk}/review"
    yield post(farm.reviewer, path, {"decision": "send_back"})  # without a comment
    yield post(farm.reviewer, path, {"decision": "approve"})
    yield post(farm.reviewer, path, {"decision": "approve"})


@case("GET /jobs/{job_id}")
def job(farm):
    done = factories.make_training_run(farm.project).job
    yield farm.annotator.get(f"{V1}/jobs/{done.pk}")
    yield farm.outsider.get(f"{V1}/jobs/{done.pk}")


@case("POST /jobs/{job_id}/cancel")
def cancel(farm):
    path = f"{V1}/jobs/{factories.make_job(farm.project).pk}/cancel"
    yield post(farm.admin, path)
    yield post(farm.annotator, path)


@case("GET /jobs/{job_id}/file")
def file(farm):
    path = farm.settings.EXPORTS_DIR / "contract.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PK\x05\x06" + bytes(18))
    done = factories.make_job(farm.project, Job.Kind.PREDICT, state="succeeded", report={"file": path.name})
    yield farm.annotator.get(f"{V1}/jobs/{done.pk}/file")
    packed = factories.make_job(farm.project, Job.Kind.EXPORT, state="succeeded", report={"file": path.name})
    yield farm.reviewer.get(f"{V1}/jobs/{packed.pk}/file")
    assert farm.annotator.get(f"{V1}/jobs/{packed.pk}/file").status_code == 403
    running = factories.make_job(farm.project, Job.Kind.PREDICT, state="running")
    yield farm.annotator.get(f"{V1}/jobs/{running.pk}/file")
