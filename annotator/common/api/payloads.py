"""Rows as the API shows them: the shapes T, I and their like of docs/web.md. Masks go out cropped."""

from typing import Any

from django.urls import reverse

from annotator.common.access import Person, role_of
from annotator.common.active import concepts_active
from annotator.common.masks import rle_to_wire
from annotator.home.overview import loop_stations, project_counts
from annotator.ml_client import ConceptPrediction
from annotator.models import Annotation, Concept, Image, Job, Prediction, Project, Task
from annotator.queue.selectors import (
    companions_of,
    draft_of,
    lane_shown,
    last_annotation,
    prediction_of,
    proposed_instances,
    queue_place,
    sent_back_review,
)
from annotator.review.selectors import masks_difference, why_barred

PREVIEW_SIDE_PX = 2048
THRESHOLDS = ("presence_low", "presence_high", "stability_below", "audit_share", "mine_batch")


def project_row(project: Project, user: Person) -> dict[str, Any]:
    return {
        "slug": project.slug,
        "name": project.name,
        "role": role_of(user=user, project=project),
        "is_demo": project.is_demo,
        "serving_version": project.serving_version.name,
    }


def project_whole(project: Project, user: Person) -> dict[str, Any]:
    counts = project_counts(project=project, user=user)
    stations = loop_stations(project=project, counts=counts)
    return project_row(project, user) | {
        "concepts": [concept_payload(concept) for concept in concepts_active(project=project)],
        "thresholds": {name: getattr(project, name) for name in THRESHOLDS},
        "review_policy": project.review_policy,
        "stations": [{"key": one.key, "label": one.label, "count": one.count} for one in stations],
        "pairs": {"unseen": counts.unseen, "present": counts.present, "absent": counts.absent},
        "tasks": {"queued": counts.queued, "claimed": counts.claimed, "submitted": counts.submitted},
    }


def concept_payload(concept: Any) -> dict[str, Any]:
    return {"id": concept.pk, "number": concept.category_id, "name": concept.name, "colour": concept.colour}


def concept_whole(concept: Concept) -> dict[str, Any]:
    into = concept.merged_into
    return concept_payload(concept) | {
        "synonyms": concept.synonyms,
        "category_id": concept.category_id,
        "retired_at": concept.retired_at,
        "merged_into": into.pk if into else None,
    }


def image_payload(image: Image, slug: str) -> dict[str, Any]:
    url = reverse("media", args=[slug, image.sha256])
    return {
        "sha256": image.sha256,
        "url": url,
        "preview_url": f"{url}?preview={PREVIEW_SIDE_PX}",
        "width": image.width,
        "height": image.height,
        "name": image.original_name,
        "source": image.source,
    }


def task_payload(task: Task, user: Person) -> dict[str, Any]:
    """T, as this person sees it: their own draft, the comment that sent it back, what they hold beside it."""
    companions = companions_of(task=task, user=user)
    return _task_alone(task, user) | {
        "project": task.project.slug,
        "image": image_payload(task.pair.image, task.project.slug),
        "queue": queue_place(task),
        "serving_version": task.project.serving_version.name,
        "companions": [_task_alone(companion, user) for companion in companions],
    }


def _task_alone(task: Task, user: Person) -> dict[str, Any]:
    """What is the task's own in T, and not its image's or its project's."""
    draft, last, prediction = draft_of(task=task, user=user), last_annotation(task), prediction_of(task)
    return {
        "id": task.pk,
        "state": task.state,
        "attempt": task.attempt,
        "lease_until": task.lease_until,
        "concept": concept_payload(task.pair.concept),
        "reasons": task.reasons,
        "lane": lane_shown(task),
        "round": task.round,
        "proposal": proposal_payload(prediction, task),
        "draft": {"version": draft.version, "payload": draft.payload} if draft else None,
        "returned": _returned(last),
        "annotation": {"id": last.pk} if last else None,
    }


def proposal_payload(prediction: Prediction | None, task: Task) -> dict[str, Any] | None:
    if prediction is None:
        return None
    shown = [
        {"score": one["score"], "stability": one["stability"], "box": one["box"], "mask": rle_to_wire(one["mask"])}
        for one in proposed_instances(prediction)
    ]
    version = task.model_version.name if task.model_version else None
    presence, taught = prediction.presence, prediction.taught
    return {"model_version": version, "presence": presence, "taught": taught, "instances": shown}


def found_payload(found: ConceptPrediction, version: str) -> dict[str, Any]:
    shown = [
        {"score": one.score, "stability": one.stability, "box": one.box, "mask": rle_to_wire(one.mask)}
        for one in found.instances
    ]
    return {"model_version": version, "presence": found.presence, "instances": shown}


def _returned(last: Annotation | None) -> dict[str, Any] | None:
    review = sent_back_review(last)
    if review is None or last is None:
        return None
    reviewer = review.reviewer.get_username() if review.reviewer else None
    return {"comment": review.comment, "pin": review.pin, "reviewer": reviewer, "annotation": last.pk}


def annotation_payload(annotation: Annotation, user: Person) -> dict[str, Any]:
    """T with the answer in it, and how far that is from the proposal."""
    proposed = [one["mask"] for one in proposed_instances(prediction_of(annotation.task))]
    answered = [one["mask"] for one in annotation.instances]
    return task_payload(annotation.task, user) | {
        "annotation": {
            "id": annotation.pk,
            "verdict": annotation.verdict,
            "instances": [one | {"mask": rle_to_wire(one["mask"])} for one in annotation.instances],
            "rejected_proposals": annotation.rejected_proposals,
            "author": annotation.author.get_username(),
            "revision": annotation.revision,
            "active_seconds": annotation.active_seconds,
            "submitted_at": annotation.created_at,
        },
        "difference": masks_difference(before=proposed, after=answered),
    }


def review_row(annotation: Annotation, project: Project, user: Person) -> dict[str, Any]:
    return {
        "id": annotation.pk,
        "task": annotation.task_id,
        "author": annotation.author.get_username(),
        "is_own": annotation.author_id == user.pk and not project.self_review_allowed,
        "barred": why_barred(answer=annotation, user=user, project=project),
        "verdict": annotation.verdict,
        "submitted_at": annotation.created_at,
        "concept": annotation.pair.concept.name,
        "image": image_payload(annotation.pair.image, project.slug),
        "reasons": annotation.task.reasons,
    }


def job_payload(job: Job) -> dict[str, Any]:
    shown = ("id", "kind", "state", "progress", "message", "eta_seconds", "report", "reason", "attempt")
    times = ("created_at", "started_at", "finished_at")
    run = getattr(job, "training_run", None)
    return {name: getattr(job, name) for name in (*shown, *times)} | {
        "project": job.project.slug,
        "cancel_requested": job.cancel_requested,
        "run": run.number if run else None,
    }
