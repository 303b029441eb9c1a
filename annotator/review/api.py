"""Reviews: the waiting list, one answer, the decision."""

from collections.abc import Iterable

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import annotation_for, annotation_to_review, project_for
from annotator.common.api.bodies import answers, checked
from annotator.models import Annotation, Membership, Project

from . import serializers
from .bulk_approval import reviews_approve
from .bulk_candidates import answers_for_bulk
from .decisions import review_decide
from .selectors import annotations_waiting

PAGE = 500


@extend_schema(responses=answers(200, serializers.WaitingReview(many=True)))
@api_view(["GET"])
def reviews(request: Request, slug: str) -> Response:
    """What waits for a decision, oldest first; at most 500."""
    project = project_for(request.user, slug, Membership.Role.REVIEWER)
    waiting = annotations_waiting(project=project)[:PAGE]
    return _listed(waiting, project, request)


@extend_schema(responses=answers(200, serializers.WaitingReview(many=True)))
@api_view(["GET"])
def bulk(request: Request, slug: str) -> Response:
    """Those of them that the serving model agrees with confidently and the caller may approve in bulk."""
    project = project_for(request.user, slug, Membership.Role.REVIEWER)
    found, _ = answers_for_bulk(project=project, user=request.user)
    return _listed(found, project, request)


@extend_schema(request=serializers.Approval, responses=answers(200, serializers.Approved))
@api_view(["POST"])
def approve(request: Request, slug: str) -> Response:
    """Approve answers in bulk; each that can't be is skipped, with the reason."""
    project = project_for(request.user, slug, Membership.Role.REVIEWER)
    outcomes = reviews_approve(project=project, reviewer=request.user, **checked(request, serializers.Approval))
    return Response(serializers.Approved({"results": outcomes}).data)


@extend_schema(responses=answers(200, serializers.AnnotatedTask))
@api_view(["GET"])
def annotation(request: Request, annotation_id: int) -> Response:
    """The task with this answer in it, for its author and for reviewers."""
    answer = annotation_for(request.user, annotation_id)
    context = {"user": request.user, "project": answer.task.project, "answer": answer}
    return Response(serializers.AnnotatedTask(answer.task, context=context).data)


@extend_schema(request=serializers.ReviewDecision, responses=answers(200, serializers.Reviewed))
@api_view(["POST"])
def review(request: Request, annotation_id: int) -> Response:
    """Approve, fix and approve, or send back with a comment."""
    waiting = annotation_to_review(request.user, annotation_id)
    decided = review_decide(annotation=waiting, reviewer=request.user, **checked(request, serializers.ReviewDecision))
    waiting.task.refresh_from_db(fields=["state"])
    return Response(serializers.Reviewed({"review": decided.pk, "state": waiting.task.state}).data)


def _listed(rows: Iterable[Annotation], project: Project, request: Request) -> Response:
    context = {"user": request.user, "project": project}
    return Response(serializers.WaitingReview(rows, many=True, context=context).data)
