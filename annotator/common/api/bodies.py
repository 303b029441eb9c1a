"""A request's body, checked by its serializer; and what every operation may answer with."""

from typing import Any

from rest_framework.request import Request
from rest_framework.serializers import Serializer

from .serializers import Error

REFUSALS: dict[int, type[Serializer]] = {status: Error for status in (400, 401, 403, 404, 409)}
# Of the ML backend, where a call has to wait for it: told on, or wrong, busy or away.
BACKEND_REFUSALS: dict[int, type[Serializer]] = {status: Error for status in (422, 429, 502, 503)}


def checked(request: Request, serializer: type[Serializer]) -> dict[str, Any]:
    """The declared fields and no others; ValidationError names the wrong ones."""
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return body.validated_data


def answers(status: int | tuple[int, str], shape: Any) -> dict[Any, Any]:
    """Responses for the schema: the good one, with its kind where that isn't JSON, and the refusals."""
    return {status: shape, **REFUSALS}
