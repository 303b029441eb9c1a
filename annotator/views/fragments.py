"""Small parts of pages that htmx asks for again and again."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from annotator.common.access import job_for
from annotator.common.shell import log_in_first
from annotator.ml_client import backend_status
from annotator.models import Job

STOP_POLLING = 286


@require_safe
@log_in_first
def job(request: HttpRequest, job_id: int) -> HttpResponse:
    """A job's progress; 286 ends the polling, and with ?reload=1 the page around it is read anew."""
    row = job_for(request.user, job_id)
    ended = row.state not in Job.IN_FLIGHT
    context = {"job": row, "reload": "reload" in request.GET}
    response = render(request, "fragments/job.html", context, status=STOP_POLLING if ended else 200)
    if ended and "reload" in request.GET:
        response["HX-Refresh"] = "true"
    return response


@require_safe
def status_dot(request: HttpRequest) -> HttpResponse:
    """Whether the model is there. It must never move a desk away from its work, so signed out is just said."""
    if not request.user.is_authenticated:
        return render(request, "fragments/backend_status.html", {"state": "signed-out"}, status=STOP_POLLING)
    status = backend_status()
    return render(request, "fragments/backend_status.html", {"state": status.state, "reason": status.reason})
