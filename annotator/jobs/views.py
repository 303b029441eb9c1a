"""Background work: the list, one job with its report, and cancel."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotator.common.access import job_for
from annotator.common.shell import ADMIN, log_in_first, page, project_page, refusals_told, whole_number
from annotator.models import Job, Project

from .log_page import job_log_parts
from .selectors import jobs_page
from .services import job_cancel


@require_safe
@project_page()
def jobs(request: HttpRequest, project: Project) -> HttpResponse:
    kind = request.GET.get("kind", "")
    rows, more = jobs_page(project=project, kind=kind, before=whole_number(request.GET.get("before")))
    context = {"jobs": rows, "more": more, "kind": kind, "kinds": Job.Kind.choices}
    return page(request, "jobs/jobs.html", context, project=project)


@require_safe
@project_page()
def job(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    row = project_job(request, project, job_id)
    context = {"job": row, "in_flight": row.state in Job.IN_FLIGHT, "run": getattr(row, "training_run", None)}
    return page(request, "jobs/job.html", context, project=project)


@require_safe
@project_page(ADMIN)
def job_log(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    """The newest lines, for admins: they name folders and, after a failure, where in the code it happened."""
    row = project_job(request, project, job_id)
    context = {"project": project, "job": row, "parts": job_log_parts(job=row), "in_flight": row.state in Job.IN_FLIGHT}
    return render(request, "jobs/job_log.html", context)


@require_POST
@project_page(ADMIN)
def cancel(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    row = project_job(request, project, job_id)
    with refusals_told(request):
        job_cancel(job=row, user=request.user)
        messages.success(request, "The job was told to stop." if row.state == Job.State.RUNNING else "Cancelled.")
    return redirect("job", project.slug, row.pk)


def project_job(request: HttpRequest, project: Project, job_id: int) -> Job:
    """The job, if it is this project's; an id of another project is 404, like one that does not exist."""
    row = job_for(request.user, job_id)
    if row.project_id != project.pk:
        raise Http404
    return row


STOP_POLLING = 286


@require_safe
@log_in_first
def job_progress(request: HttpRequest, job_id: int) -> HttpResponse:
    """A job's progress; 286 ends the polling, and with ?reload=1 the page around it is read anew."""
    row = job_for(request.user, job_id)
    ended = row.state not in Job.IN_FLIGHT
    context = {"job": row, "reload": "reload" in request.GET}
    response = render(request, "jobs/job_progress.html", context, status=STOP_POLLING if ended else 200)
    if ended and "reload" in request.GET:
        response["HX-Refresh"] = "true"
    return response
