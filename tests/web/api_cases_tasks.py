"""Calls about projects, tasks, the desk, reviews and jobs."""

from functools import partial

from annotator.models import Job, Task
from tests import factories
from tests.web.api_case_book import case
from tests.web.api_farm import BARN, POINT, V1, post
from tests.web.test_promotion import judged
from tests.web.test_scene_frames import frame, settled


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


@case("GET /projects/{slug}/frames")
def frames(farm):
    settled(farm.barn)
    factories.make_task(farm.project, frame(farm.barn))
    frame(farm.barn)
    listed = farm.annotator.get(f"{BARN}/frames")
    assert [(row["verdict"], row["task"] is None) for row in listed.json()] == [("present", False), ("present", True)]
    yield listed
    yield farm.outsider.get(f"{BARN}/frames")


@case("POST /projects/{slug}/frames")
def frames_confirm(farm):
    settled(farm.barn)
    asked = [
        {"prediction": number, "verdict": "present"} for number in (frame(farm.barn).predictions.get().pk, 999_999)
    ]
    told = post(farm.annotator, f"{BARN}/frames", {"frames": asked, "active_seconds": 4.0})
    assert [row["confirmed"] for row in told.json()["results"]] == [True, False]
    yield told
    yield post(farm.annotator, f"{BARN}/frames", {"frames": []})


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
