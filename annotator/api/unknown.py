"""The one error shape also where no view answers: unknown addresses, and our own bugs."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import server_error
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response


@extend_schema(exclude=True)
@api_view(["GET", "POST", "PUT", "PATCH", "DELETE"])
def unknown(request: Request, rest: str) -> Response:
    raise NotFound


def failed(request: HttpRequest) -> HttpResponse:
    """Django's handler500: JSON below /api/, the page elsewhere."""
    if not request.path.startswith("/api/"):
        return server_error(request)
    message = "Roost failed in a way it did not foresee; its log has the details. Your work is kept; try again."
    return JsonResponse({"error": {"code": "internal", "message": message}}, status=500)
