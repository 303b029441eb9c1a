"""The admin's one-button deeds: each asks a service and goes back to the page that shows what came of it."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from annotator.common.shell import ADMIN, errors_told, project_page, refusals_told
from annotator.forms import RetrainForm
from annotator.models import Project
from annotator.services.promotion import version_promote, version_rollback
from annotator.services.training_runs import retrain_start


@require_POST
@project_page(ADMIN)
def retrain(request: HttpRequest, project: Project) -> HttpResponse:
    form = RetrainForm(request.POST, project=project)
    if form.is_valid():
        with refusals_told(request, form):
            job = retrain_start(project=project, user=request.user, config=form.config())
            messages.success(request, "Training has begun.")
            return redirect("run", project.slug, job.training_run.number)
    errors_told(request, form)
    return redirect("training", project.slug)


@require_POST
@project_page(ADMIN)
def promote(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    run = project.training_runs.filter(number=number).select_related("version").first()
    if run is None or run.version is None:
        raise Http404
    with refusals_told(request):
        reason = request.POST.get("override_reason", "")
        version_promote(project=project, version=run.version, user=request.user, override_reason=reason)
        messages.success(request, f"{run.version.name} serves from now on. Mine again to see where it still hesitates.")
    return redirect("run", project.slug, number)


@require_POST
@project_page(ADMIN)
def rollback(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        version_rollback(project=project, user=request.user)
        project.refresh_from_db()
        messages.success(request, f"Rolled back: {project.serving_version.name} serves again.")
    return redirect("models", project.slug)
