"""What a project looks for, changed by an admin's script; the pages under Settings do the same."""

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import project_for
from annotator.common.api.bodies import answers, checked
from annotator.models import Concept, Membership

from . import serializers
from .merge import concept_merge
from .selectors import merge_plan
from .services import concept_rename, concept_restore, concept_retire


@extend_schema(responses=answers(200, serializers.WholeConcept(many=True)))
@api_view(["GET"])
def concepts(request: Request, slug: str) -> Response:
    """Every concept, retired ones included."""
    project = project_for(request.user, slug)
    return Response(serializers.WholeConcept(project.concepts.all(), many=True).data)


@extend_schema(request=serializers.Rename, responses=answers(200, serializers.WholeConcept))
@api_view(["POST"])
def rename(request: Request, slug: str, concept_id: int) -> Response:
    """Another name; the old one stays as synonym, and its scores are dropped, unless the body says otherwise."""
    row = _concept(request, slug, concept_id)
    concept_rename(concept=row, user=request.user, **checked(request, serializers.Rename))
    return _whole(request, slug, concept_id)


@extend_schema(request=serializers.Merge, responses=answers(200, serializers.MergePlan))
@api_view(["POST"])
def merge(request: Request, slug: str, concept_id: int) -> Response:
    """Make it one with `into`; with `preview` nothing is done and the counts are what would be."""
    row, body = _concept(request, slug, concept_id), checked(request, serializers.Merge)
    into = _concept(request, slug, body["into"])
    if body["preview"]:
        return Response(serializers.MergePlan(merge_plan(concept=row, into=into)).data)
    return Response(serializers.MergePlan(concept_merge(concept=row, into=into, user=request.user)).data)


@extend_schema(request=None, responses=answers(200, serializers.WholeConcept))
@api_view(["POST"])
def retire(request: Request, slug: str, concept_id: int) -> Response:
    """Ask for it no more."""
    concept_retire(concept=_concept(request, slug, concept_id), user=request.user)
    return _whole(request, slug, concept_id)


@extend_schema(request=None, responses=answers(200, serializers.WholeConcept))
@api_view(["POST"])
def restore(request: Request, slug: str, concept_id: int) -> Response:
    """Ask for a retired one again."""
    concept_restore(concept=_concept(request, slug, concept_id), user=request.user)
    return _whole(request, slug, concept_id)


def _whole(request: Request, slug: str, concept_id: int) -> Response:
    """As it is now: the action changed it."""
    return Response(serializers.WholeConcept(_concept(request, slug, concept_id)).data)


def _concept(request: Request, slug: str, concept_id: int) -> Concept:
    project = project_for(request.user, slug, Membership.Role.ADMIN)
    row = project.concepts.filter(pk=concept_id).first()
    if row is None:
        raise Http404
    return row
