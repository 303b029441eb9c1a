"""The admin's one-button deeds: each asks a service and goes back to the page that shows what came of it."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from annotator.common.shell import ADMIN, REVIEWER, _tell_errors, project_page, refusals_told
from annotator.forms import BandForm, ExportForm, HoldoutForm, RetrainForm
from annotator.models import Project
from annotator.services.exports import export_start
from annotator.services.holdout import holdout_queue
from annotator.services.mining import mining_start
from annotator.services.projects import project_settings_update
from annotator.services.promotion import version_promote, version_rollback
from annotator.services.snapshots import snapshot_start
from annotator.services.suspects import suspects_queue
from annotator.services.training_runs import retrain_start


@require_POST
@project_page(ADMIN)
def mine(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        options = {name: name in request.POST for name in ("settled", "challenger")}
        mining_start(project=project, user=request.user, **options)
        messages.success(request, "Mining has begun. The queue fills when it is done.")
    return redirect("queue", project.slug)


@require_POST
@project_page(ADMIN)
def queue_suspects(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        tasks = suspects_queue(project=project, user=request.user)
        messages.success(
            request, f"{len(tasks)} suspected label errors wait in the queue; their truth stays meanwhile."
        )
    return redirect("queue", project.slug)


@require_POST
@project_page(ADMIN)
def queue_holdout(request: HttpRequest, project: Project) -> HttpResponse:
    form = HoldoutForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            tasks = holdout_queue(project=project, user=request.user, count=form.cleaned_data["count"])
            messages.success(request, f"{len(tasks)} holdout pairs wait in the queue, drawn at random.")
    _tell_errors(request, form)
    return redirect("training", project.slug)


@require_POST
@project_page(ADMIN)
def set_band(request: HttpRequest, project: Project) -> HttpResponse:
    form = BandForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            project_settings_update(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, "The band is kept; the next mining queues by it.")
    _tell_errors(request, form)
    return redirect("queue", project.slug)


@require_POST
@project_page(ADMIN)
def take_snapshot(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        snapshot_start(project=project, user=request.user)
        messages.success(request, "The snapshot is being written.")
    return redirect("snapshots", project.slug)


@require_POST
@project_page(REVIEWER)
def export(request: HttpRequest, project: Project) -> HttpResponse:
    form = ExportForm(request.POST)
    if form.is_valid():
        with refusals_told(request, form):
            job = export_start(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, "The export is being packed; its file is offered here when it is done.")
            return redirect("job", project.slug, job.pk)
    _tell_errors(request, form)
    return redirect("snapshots", project.slug)


@require_POST
@project_page(ADMIN)
def retrain(request: HttpRequest, project: Project) -> HttpResponse:
    form = RetrainForm(request.POST, project=project)
    if form.is_valid():
        with refusals_told(request, form):
            job = retrain_start(project=project, user=request.user, config=form.config())
            messages.success(request, "Training has begun.")
            return redirect("run", project.slug, job.training_run.number)
    _tell_errors(request, form)
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
