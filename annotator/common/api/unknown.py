"""The one error shape also where no view answers: unknown addresses, and our own bugs."""

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.defaults import server_error
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.database_trouble import database_trouble
from annotator.common.errors import RoostError


@extend_schema(exclude=True)
@api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])
def unknown(request: Request, rest: str) -> Response:
    raise NotFound


def failed(request: HttpRequest) -> HttpResponse:
    """Django's handler500: JSON below /api/, the page elsewhere; a database that is busy, full or away is called so."""
    if trouble := database_trouble(sys.exception()):
        return _troubled(request, trouble)
    if not request.path.startswith("/api/"):
        return server_error(request)
    message = "Roost failed in a way it did not foresee; its log has the details. Your work is kept; try again."
    return JsonResponse({"error": {"code": "internal", "message": message}}, status=500)


def _troubled(request: HttpRequest, trouble: RoostError) -> HttpResponse:
    answer: HttpResponse
    if request.path.startswith("/api/"):
        body = {"error": {"code": trouble.code, "message": str(trouble)}}
        answer = JsonResponse(body, status=trouble.http_status)
    else:
        answer = HttpResponse(render_to_string("500.html", {"trouble": trouble}), status=trouble.http_status)
    answer["Retry-After"] = str(trouble.retry_after_seconds)
    return answer
