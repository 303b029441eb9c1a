"""A request's body, checked by its serializer; and what every operation may answer with."""

from typing import Any

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from annotator.models import Job, Membership

from . import schema
from .payloads import job_payload

REFUSALS: dict[int, type[Serializer]] = {status: schema.Error for status in (400, 401, 403, 404, 409)}


def checked(request: Request, serializer: type[Serializer]) -> dict[str, Any]:
    """The declared fields and no others; ValidationError names the wrong ones."""
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return body.validated_data


def answers(status: int, shape: Any) -> dict[int, Any]:
    """Responses for the schema: the good one and the refusals."""
    return {status: shape, **REFUSALS}


def started(job: Job) -> Response:
    return Response(job_payload(job), status=status.HTTP_202_ACCEPTED)


ADMIN = Membership.Role.ADMIN
