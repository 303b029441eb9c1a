"""Consistent object graphs for tests. Files on disk are real; images have a few pixels, drawn here."""

import hashlib
import io
import itertools
import json
import uuid
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone
from PIL import Image as PillowImage

from annotator.common.masks import Rle, encode_mask
from annotator.data.snapshot_folders import own_folder
from annotator.models import (
    Annotation,
    Concept,
    Deployment,
    GateDecision,
    Image,
    Invitation,
    Job,
    Membership,
    ModelVersion,
    Pair,
    Prediction,
    Project,
    Snapshot,
    Task,
    TrainingRun,
)

_numbers = itertools.count(1)
SIZE_PX = 16


@dataclass
class Barn:
    project: Project
    chicken: Concept
    annotator: object
    reviewer: object
    admin: object
    outsider: object


def make_user(name: str = "", **fields):
    return get_user_model().objects.create_user(name or f"user{next(_numbers)}", password="a long password", **fields)


def make_version(name: str = "demo", **fields) -> ModelVersion:
    version, _ = ModelVersion.objects.get_or_create(name=name, defaults={"weights_hash": "0" * 64, **fields})
    return version


def make_project(admin=None, name: str = "", **fields) -> Project:
    admin = admin or make_user()
    name = name or f"Project {next(_numbers)}"
    slug = fields.pop("slug", name.lower().replace(" ", "-"))
    version = fields.pop("serving_version", None) or make_version(stage=ModelVersion.Stage.PRODUCTION)
    fields.setdefault("gate_min_scenes", 1)  # these projects have a picture or two
    project = Project.objects.create(name=name, slug=slug, created_by=admin, serving_version=version, **fields)
    Deployment.objects.create(project=project, version=version, action=Deployment.Action.START, by=admin)
    make_member(project, admin, Membership.Role.ADMIN)
    return project


def make_member(project: Project, user=None, role: str = Membership.Role.ANNOTATOR):
    user = user or make_user()
    Membership.objects.create(project=project, user=user, role=role)
    return user


def make_invitation(project: Project, by, role: str = Membership.Role.ANNOTATOR, **fields) -> Invitation:
    """An open one, whose token nobody knows."""
    fields = {"token_sha256": uuid.uuid4().hex * 2, "expires_at": timezone.now() + timedelta(days=1), **fields}
    return Invitation.objects.create(project=project, role=role, created_by=by, **fields)


def make_concept(project: Project, name: str = "chicken", **fields) -> Concept:
    category_id = fields.pop("category_id", project.concepts.count() + 1)
    return Concept.objects.create(project=project, name=name, category_id=category_id, **fields)


def make_barn(**project_fields) -> Barn:
    """A project with one concept, a member of each role and somebody who is no member."""
    admin = make_user("admin")
    project = make_project(admin, "Barn", **project_fields)
    return Barn(
        project=project,
        chicken=make_concept(project),
        annotator=make_member(project, make_user("annotator"), Membership.Role.ANNOTATOR),
        reviewer=make_member(project, make_user("reviewer"), Membership.Role.REVIEWER),
        admin=admin,
        outsider=make_user("outsider"),
    )


def image_bytes(
    width: int = SIZE_PX, height: int = SIZE_PX, seed: int | None = None, kind: str = "PNG", **save
) -> bytes:
    """An encoded image of noise; another seed, another hash."""
    rng = np.random.default_rng(next(_numbers) if seed is None else seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, format=kind, **save)
    return buffer.getvalue()


def make_image(
    project: Project, *, width: int = SIZE_PX, height: int = SIZE_PX, split: str = Image.Split.TRAIN, **fields
) -> Image:
    """An image row with its file under IMAGES_DIR."""
    data = image_bytes(width, height)
    sha256 = hashlib.sha256(data).hexdigest()
    path = settings.IMAGES_DIR / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    fields.setdefault("original_name", f"{sha256[:8]}.png")
    return Image.objects.create(
        project=project,
        sha256=sha256,
        width=width,
        height=height,
        media_type="image/png",
        bytes=len(data),
        split=split,
        **fields,
    )


def box_rle(x0: int = 2, y0: int = 3, x1: int = 9, y1: int = 10, width: int = SIZE_PX, height: int = SIZE_PX) -> Rle:
    """The mask of a filled box."""
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[y0:y1, x0:x1] = 1
    return encode_mask(mask)


def make_instance(rle: Rle | None = None, **fields) -> dict:
    """One instance as annotations and pairs store it."""
    fields = {"origin": "click", "prompts": [], "model_version": "demo", "score": 0.9, "edited": False, **fields}
    return {"mask": rle or box_rle(), **fields}


def make_pair(project: Project, concept: Concept | None = None, image: Image | None = None, **fields) -> Pair:
    """An unseen pair; `truth="present"` or "absent" makes a settled one with instances to match."""
    if fields.get("truth", Pair.Truth.UNSEEN) != Pair.Truth.UNSEEN:
        fields.setdefault("truth_source", Pair.TruthSource.ANNOTATED)
        fields.setdefault("settled_at", timezone.now())
    if fields.get("truth") == Pair.Truth.PRESENT:
        fields.setdefault("instances", [make_instance()])
    concept = concept or project.concepts.first() or make_concept(project)
    return Pair.objects.create(project=project, image=image or make_image(project), concept=concept, **fields)


def make_prediction(pair: Pair, presence: float = 0.5, instances: list | None = None, **fields) -> Prediction:
    if instances is None:
        mask = {"mask": box_rle(), "box": [2, 3, 9, 10], "score": 0.7 * presence, "query_score": 0.7, "stability": 0.8}
        instances = [mask]
    fields.setdefault("model_version", pair.project.serving_version)
    fields.setdefault("min_stability", min((row["stability"] for row in instances), default=None))
    fields.setdefault("feature", np.zeros(8, dtype=np.float16).tobytes())
    return Prediction.objects.create(pair=pair, presence=presence, instances=instances, **fields)


def make_task(project: Project, pair: Pair | None = None, *, predicted: bool = True, **fields) -> Task:
    """A queued task with a prediction to propose from; `holder=user` makes a claimed one."""
    pair = pair or make_pair(project)
    if predicted and not pair.predictions.exists():
        make_prediction(pair)
    if fields.get("holder") is not None:
        fields = {
            "state": Task.State.CLAIMED,
            "attempt": 1,
            "lease_until": timezone.now() + timedelta(minutes=10),
            **fields,
        }
    fields.setdefault("model_version", project.serving_version)
    fields.setdefault("reasons", [{"kind": "band", "value": 0.5, "words": "The model is undecided: presence 0.50"}])
    fields.setdefault("lane", Task.Reason.BAND)
    return Task.objects.create(project=project, pair=pair, **fields)


def make_annotation(
    task: Task, author, verdict: str = "present", instances: list | None = None, **fields
) -> Annotation:
    """A submitted annotation; puts the task into the state that waits for review."""
    if instances is None:
        instances = [make_instance()] if verdict == "present" else []
    fields = {"revision": task.annotations.count() + 1, "client_uuid": uuid.uuid4(), "active_seconds": 2.5, **fields}
    annotation = Annotation.objects.create(
        task=task, pair=task.pair, author=author, verdict=verdict, instances=instances, **fields
    )
    task.state, task.author, task.holder, task.lease_until = Task.State.SUBMITTED, author, None, None
    task.save()
    return annotation


def make_job(project: Project, kind: str = Job.Kind.EXPORT, **fields) -> Job:
    return Job.objects.create(project=project, kind=kind, **fields)


def make_snapshot(project: Project, **fields) -> Snapshot:
    fields.setdefault("number", project.snapshots.count() + 1)
    fields.setdefault("content_hash", uuid.uuid4().hex * 2)
    return Snapshot.objects.create(project=project, **fields)


def write_pairs(snapshot: Snapshot, rows: list[dict] = ()) -> None:
    """Its list of pairs, as docs/data.md has it; nothing else of its files."""
    folder = own_folder(snapshot.project, snapshot.content_hash)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_training_run(project: Project, **fields) -> TrainingRun:
    """A run whose retrain job has ended; pass `job` for another state."""
    fields.setdefault("job", make_job(project, Job.Kind.RETRAIN, state=Job.State.SUCCEEDED))
    fields.setdefault("snapshot", make_snapshot(project))
    fields.setdefault("base_version", project.serving_version)
    fields.setdefault("number", project.training_runs.count() + 1)
    return TrainingRun.objects.create(project=project, **fields)


def make_gate(run: TrainingRun, decision: str = "promote", **fields) -> GateDecision:
    """The run's newest decision, against what serves now."""
    fields = {"champion": run.project.serving_version, "challenger": run.version, "snapshot": run.snapshot} | fields
    run.gate = GateDecision.objects.create(project=run.project, run=run, decision=decision, **fields)
    run.save(update_fields=["gate"])
    return run.gate
