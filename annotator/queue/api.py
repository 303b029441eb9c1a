"""Tasks: claim, hold, click, draft, submit."""

import hashlib
from typing import Any

from django.core.exceptions import PermissionDenied
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator import ml_client
from annotator.common.access import ADMIN, has_role, member_named, project_for, task_for, task_seen_by
from annotator.common.api.bodies import BACKEND_REFUSALS, answers, checked
from annotator.jobs.serializers import Job
from annotator.models import Membership, Task

from . import serializers
from .assignments import task_reassign
from .drafts import draft_delete, draft_save
from .holdout import holdout_queue
from .incomplete import incomplete_queue
from .known_answers import feedback_of
from .leases import task_claim, task_heartbeat, task_release, task_reopen, task_skip
from .mining import mining_start
from .progress import settled_since
from .submissions import task_submit
from .suspected_labels import suspected_labels_queue
from .warming import claim_warm

# Somebody who asks for more has seen what scores 0.5 and wants what the model was less sure of, too.
SIMILAR_QUERY_SCORE = 0.3


@extend_schema(request=serializers.Claim, responses=answers(200, serializers.Task) | {204: None})
@api_view(["POST"])
def claim(request: Request, slug: str) -> Response:
    """The most valuable task, leased to the caller; 204 when none is left."""
    project = project_for(request.user, slug)
    after = checked(request, serializers.Claim)["after"]
    task = task_claim(project=project, user=request.user, after_id=after)
    if task is None:
        return Response(status=status.HTTP_204_NO_CONTENT)
    claim_warm(task=task, user=request.user)
    return _shown(task, request.user)


@extend_schema(responses=answers(200, serializers.Task))
@api_view(["GET"])
def task(request: Request, task_id: int) -> Response:
    """One task, for its holder, its author and reviewers."""
    return _shown(task_seen_by(request.user, task_id), request.user)


@extend_schema(request=serializers.Attempt, responses=answers(200, serializers.Lease))
@api_view(["POST"])
def heartbeat(request: Request, task_id: int) -> Response:
    """Prolong the lease."""
    held = task_for(request.user, task_id)
    attempt = checked(request, serializers.Attempt)["attempt"]
    return Response(serializers.Lease(task_heartbeat(task=held, user=request.user, attempt=attempt)).data)


@extend_schema(request=serializers.Attempt, responses=answers(200, serializers.State))
@api_view(["POST"])
def release(request: Request, task_id: int) -> Response:
    """Give the task back."""
    held = task_for(request.user, task_id)
    task_release(task=held, user=request.user, attempt=checked(request, serializers.Attempt)["attempt"])
    return _state(held)


@extend_schema(request=serializers.Skip, responses=answers(200, serializers.State))
@api_view(["POST"])
def skip(request: Request, task_id: int) -> Response:
    """Give the task back, behind the others."""
    held = task_for(request.user, task_id)
    task_skip(task=held, user=request.user, **checked(request, serializers.Skip))
    return _state(held)


@extend_schema(request=serializers.Click, responses=answers(200, serializers.ClickAnswer) | BACKEND_REFUSALS)
@api_view(["POST"])
def click(request: Request, task_id: int) -> Response:
    """A mask for these prompts, from the version that the project serves now."""
    pointed = _at_desk(request, task_id)
    body = checked(request, serializers.Click)
    answer = ml_client.click(
        model_version=pointed.project.serving_version.name,
        image=pointed.pair.image,
        desk=_desk(pointed, request.user),
        **body,
    )
    return Response(serializers.ClickAnswer(answer).data)


@extend_schema(request=serializers.Similar, responses=answers(200, serializers.Found) | BACKEND_REFUSALS)
@api_view(["POST"])
def similar(request: Request, task_id: int) -> Response:
    """More of the concept on this image, from the version that the project serves now; `exemplars` show what it is."""
    looked_at = _at_desk(request, task_id)
    version = looked_at.project.serving_version.name
    found = ml_client.similar(
        model_version=version,
        image=looked_at.pair.image,
        concept=looked_at.pair.concept.name,
        score_threshold=SIMILAR_QUERY_SCORE,
        **checked(request, serializers.Similar),
    )
    return Response(serializers.Found(found, context={"version": version}).data)


@extend_schema(request=serializers.MaskAt, responses=answers(200, serializers.MaskAnswer) | BACKEND_REFUSALS)
@api_view(["POST"])
def mask(request: Request, task_id: int) -> Response:
    """A mask that the model drew, looser or tighter; 404 `unknown_mask` where it has been forgotten."""
    looked_at = _at_desk(request, task_id)
    answer = ml_client.mask_at(image=looked_at.pair.image, **checked(request, serializers.MaskAt))
    return Response(serializers.MaskAnswer(answer).data)


@extend_schema(methods=["PUT"], request=serializers.Draft, responses=answers(200, serializers.DraftVersion))
@extend_schema(methods=["DELETE"], responses=answers(204, None))
@api_view(["PUT", "DELETE"])
def draft(request: Request, task_id: int) -> Response:
    """Keep or drop the caller's unsubmitted work; needs no lease."""
    drafted = task_for(request.user, task_id)
    if request.method == "DELETE":
        draft_delete(task=drafted, user=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)
    stored = draft_save(task=drafted, user=request.user, **checked(request, serializers.Draft))
    return Response(serializers.DraftVersion(stored).data)


@extend_schema(request=serializers.Submission, responses=answers(200, serializers.Stored))
@api_view(["POST"])
def submit(request: Request, task_id: int) -> Response:
    """Hand in the answer; the same `client_uuid` again answers the same row."""
    answered = task_for(request.user, task_id)
    stored = task_submit(task=answered, user=request.user, **checked(request, serializers.Submission))
    answered.refresh_from_db(fields=["state"])
    told = feedback_of(annotation=stored)
    outcome = {"annotation": stored.pk, "state": answered.state} | ({"feedback": told} if told else {})
    return Response(serializers.Stored(outcome).data)


@extend_schema(request=None, responses=answers(200, serializers.Task))
@api_view(["POST"])
def reopen(request: Request, task_id: int) -> Response:
    """Take back one of the caller's last ten submissions."""
    reopened = task_reopen(task=task_for(request.user, task_id), user=request.user)
    return _shown(reopened, request.user)


@extend_schema(request=serializers.Reassign, responses=answers(200, serializers.State))
@api_view(["POST"])
def reassign(request: Request, task_id: int) -> Response:
    """Keep a waiting or held task for a member, by name."""
    given = task_for(request.user, task_id, Membership.Role.REVIEWER)
    name = checked(request, serializers.Reassign)["member"]
    member = member_named(project=given.project, name=name)
    return _state(task_reassign(task=given, member=member, user=request.user))


def _shown(task: Task, user: Any) -> Response:
    return Response(serializers.Task(task, context={"user": user, "project": task.project}).data)


def _state(task: Task) -> Response:
    task.refresh_from_db(fields=["state"])
    return Response(serializers.State(task).data)


def _at_desk(request: Request, task_id: int) -> Task:
    """The task, for its holder and for reviewers: the model works for nobody else."""
    task, user = task_for(request.user, task_id), request.user
    if task.holder_id != user.pk and not has_role(user=user, project=task.project, role=Membership.Role.REVIEWER):
        raise PermissionDenied
    return task


def _desk(task: Task, user: Any) -> str:
    """Opaque: who sits before which task. The backend drops what a newer click of the same desk overtakes."""
    return hashlib.sha256(f"{user.pk} {task.pk}".encode()).hexdigest()[:32]


@extend_schema(parameters=[serializers.Since], responses=answers(200, serializers.Progress))
@api_view(["GET"])
def progress(request: Request, slug: str) -> Response:
    """How many tasks the caller has answered here since a moment: midnight where they sit, for the daily goal."""
    worked_in = project_for(request.user, slug)
    asked = serializers.Since(data=request.query_params)
    asked.is_valid(raise_exception=True)
    settled = settled_since(project=worked_in, user=request.user, **asked.validated_data)
    return Response(serializers.Progress({"settled": settled}).data)


@extend_schema(request=serializers.Mine, responses=answers(202, Job))
@api_view(["POST"])
def mine(request: Request, slug: str) -> Response:
    """Start mining; `settled`: look at pairs with a truth again; `challenger`: ask the newest other model, too."""
    mined = project_for(request.user, slug, ADMIN)
    job = mining_start(project=mined, user=request.user, **checked(request, serializers.Mine))
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(request=None, responses=answers(200, serializers.Queued))
@api_view(["POST"])
def suspected_labels(request: Request, slug: str) -> Response:
    """Queue labels that the serving model contradicts with confidence for a second look."""
    tasks = suspected_labels_queue(project=project_for(request.user, slug, ADMIN), user=request.user)
    return Response(serializers.Queued({"queued": len(tasks)}).data)


@extend_schema(request=None, responses=answers(200, serializers.Queued))
@api_view(["POST"])
def incomplete(request: Request, slug: str) -> Response:
    """Queue pairs in which not every instance is outlined, so that people complete them."""
    tasks = incomplete_queue(project=project_for(request.user, slug, ADMIN), user=request.user)
    return Response(serializers.Queued({"queued": len(tasks)}).data)


@extend_schema(request=serializers.Count, responses=answers(200, serializers.Queued))
@api_view(["POST"])
def holdout(request: Request, slug: str) -> Response:
    """Have holdout pairs labelled, drawn at random."""
    judged = project_for(request.user, slug, ADMIN)
    tasks = holdout_queue(project=judged, user=request.user, **checked(request, serializers.Count))
    return Response(serializers.Queued({"queued": len(tasks)}).data)
