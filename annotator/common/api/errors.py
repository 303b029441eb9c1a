"""One error shape for the whole API: {"error": {"code", "message", "fields"?}}."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response

from annotator.common.database_trouble import database_trouble
from annotator.common.errors import RoostError

from .serializers import Error


def error_response(code: str, message: str, http_status: int, fields: dict | None = None) -> Response:
    body: dict[str, Any] = {"code": code, "message": message}
    if fields:
        body["fields"] = fields
    return Response(Error({"error": body}).data, status=http_status)


def exception_handler(error: Exception, context: dict) -> Response | None:
    """Turn whatever a view raised into the one shape; None lets Django answer 500."""
    error = database_trouble(error) or error
    if isinstance(error, RoostError):
        response = error_response(error.code, str(error), error.http_status, error.fields)
        if error.retry_after_seconds is not None:
            response["Retry-After"] = str(error.retry_after_seconds)
        return response
    if isinstance(error, Http404 | exceptions.NotFound):
        return error_response("not_found", "There is nothing here that you may see.", status.HTTP_404_NOT_FOUND)
    if isinstance(error, PermissionDenied | exceptions.PermissionDenied):
        return error_response("forbidden", "Your role in this project does not allow this.", status.HTTP_403_FORBIDDEN)
    if isinstance(error, exceptions.ValidationError):
        return error_response("bad_request", "Some fields are wrong.", 400, {"detail": error.detail})
    if isinstance(error, exceptions.APIException):
        return error_response(str(error.default_code), str(error.detail), error.status_code)
    return None
