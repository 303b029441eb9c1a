"""Pages for everybody: log-in, health, keyboard help, and the pages for when something is wrong."""

from django.contrib.auth import views as auth_views
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotator.common.shell import page
from annotator.jobs.views import STOP_POLLING
from annotator.ml_client import backend_status
from annotator.models import Project


class LogIn(auth_views.LoginView):
    """The log-in page; where the demo project is, it says where its log-ins were printed."""

    template_name = "home/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **more: object) -> dict:
        return super().get_context_data(has_demo=Project.objects.filter(is_demo=True).exists(), **more)


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers; for supervisors and load balancers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "down", "reason": "the database does not answer"}, status=503)
    return JsonResponse({"status": "up"})


@require_safe
def keys(request: HttpRequest) -> HttpResponse:
    return page(request, "home/keys.html")


@require_safe
def status_dot(request: HttpRequest) -> HttpResponse:
    """Whether the model is there. It must never move a desk away from its work, so signed out is just said."""
    if not request.user.is_authenticated:
        return render(request, "home/backend_status.html", {"state": "signed-out"}, status=STOP_POLLING)
    status = backend_status()
    return render(request, "home/backend_status.html", {"state": status.state, "reason": status.reason})
