"""Training runs: the list with the retrain form, and one run live."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from annotator.common.access import has_role
from annotator.common.active import pairs_active
from annotator.common.shell import ADMIN, REVIEWER, page, project_page, refusals_told, whole_number
from annotator.models import Job, ModelVersion, Pair, Project, TrainingRun
from annotator.queue.holdout_progress import holdout_state
from annotator.queue.second_labels import second_labels_queue, second_labels_state

from .forms import RetrainForm
from .gate_page import earlier_of, passes_now
from .gating import gate_ask
from .label_doubts import labels_doubted
from .memory_plans import memory_plan_newest, memory_plan_start
from .models_page import deployments_of, rollback_target, serving_quality, untaught_concepts
from .promotion import version_promote, version_rollback
from .run_again import run_can_go_on, run_go_on
from .run_clicks import run_clicks
from .run_compare import AT_MOST, compared_series, result_rows, runs_compared, setting_rows
from .run_costs import project_cost
from .run_downloads import run_file, run_files
from .run_facts import run_facts
from .run_files import room_for, run_kept, views_sheet
from .run_page import gate_report, run_of, runs_of, sample_cards, series_for_plots
from .run_samples import samples_by_step, steps_shown
from .training_runs import retrain_start
from .triggers import next_retrain
from .version_facts import versions_shown
from .version_retention import LAST_KEPT, Forecast, retention_forecast

# As docs/contracts.md has them; the last three where they are switched on.
LOSS_PARTS = ("total", "presence", "class", "box", "giou", "mask", "dice", "many", "semantic", "blend", "click")


@require_safe
@project_page()
def training(request: HttpRequest, project: Project) -> HttpResponse:
    form = RetrainForm(project=project)
    form.fill(request.GET.dict())
    return _training_page(request, project, form)


def _training_page(request: HttpRequest, project: Project, form: RetrainForm, *, status: int = 200) -> HttpResponse:
    runs = runs_of(project=project)
    in_flight = [run for run in runs if run.job.state in Job.IN_FLIGHT]
    context = {
        "runs": runs,
        "cost": project_cost(project=project),
        "current": in_flight[0] if in_flight else None,
        "any_settled": pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN).exists(),
        "form": form,
        "plan": memory_plan_newest(project=project),
        "holdout": holdout_state(project=project),
        "by_itself": next_retrain(project=project),
        "room": room_for(version=project.serving_version, config={}),
        **_holdout_told(request, project),
    }
    return page(request, "registry/training.html", context, project=project, status=status)


def _holdout_told(request: HttpRequest, project: Project) -> dict[str, Any]:
    """Of the holdout's card, which admins alone see: labels_doubted reads a file that grows with the holdout."""
    if not has_role(user=request.user, project=project, role=ADMIN):
        return {}
    return {
        "doubted": len(labels_doubted(project=project)),
        "second_labels": second_labels_state(project=project),
    }


@require_safe
@project_page()
def run(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    row = _run(project, number)
    in_flight = row.job.state in Job.IN_FLIGHT
    context = {
        "run": row,
        "job": row.job,
        "in_flight": in_flight,
        "series": series_for_plots(row),
        "facts": run_facts(row),
        "files": run_files(row),
        "gpu": (row.series.get("gpu") or [None])[-1],
        "report": gate_report(row),
        "clicks": run_clicks(row),
        "earlier_gates": earlier_of(row.gate) if row.gate else [],
        "may_promote": row.gate is not None and passes_now(row.gate, project.serving_version_id),
        # Of the holdout, with its truth: whoever may be asked for a blind answer must not see them.
        "samples": sample_cards(row) if has_role(user=request.user, project=project, role=REVIEWER) else [],
        "sheet": row.series.get("views") if views_sheet(row) else None,
        "steps_shown": steps_shown(row),
        "is_serving": row.version_id is not None and row.version_id == project.serving_version_id,
        "can_go_on": run_can_go_on(row),
        "kept": None if in_flight else run_kept(row),
    }
    return page(request, "registry/run.html", context, project=project)


@require_safe
@project_page()
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    numbers = {whole_number(asked) for asked in request.GET.getlist("run")}
    if len(numbers) > AT_MOST:
        messages.error(request, f"Mark {AT_MOST} runs at most: more lines can't be told apart.")
        return redirect("training", project.slug)
    runs = runs_compared(project=project, numbers=[number for number in numbers if number is not None])
    if len(runs) < len(numbers):
        raise Http404
    context = {
        "runs": runs,
        "at_most": AT_MOST,
        "parts": LOSS_PARTS,
        "series": compared_series(runs),
        "results": result_rows(runs),
        "settings_that_differ": setting_rows(runs),
    }
    return page(request, "registry/compare.html", context, project=project)


@require_safe
@project_page()
def series(request: HttpRequest, project: Project, number: int) -> JsonResponse:
    """What the plots are drawn from; `ended` tells the page to stop asking and to read itself anew."""
    row = _run(project, number)
    ended = row.job.state not in Job.IN_FLIGHT
    facts = {fact.key: fact.words for fact in run_facts(row)}
    told = {"series": series_for_plots(row), "facts": facts, "phase": row.series.get("phase", ""), "ended": ended}
    return JsonResponse({**told, "steps_shown": steps_shown(row)})


@require_safe
@project_page()
def run_samples(request: HttpRequest, project: Project, number: int) -> JsonResponse:
    """The sample pairs from validation to validation; the page asks once somebody scrolls to them."""
    return JsonResponse(samples_by_step(_run(project, number)))


@require_safe
@project_page()
def views_image(request: HttpRequest, project: Project, number: int) -> FileResponse:
    """For all members, as the training images themselves are."""
    path = views_sheet(_run(project, number))
    if path is None:
        raise Http404
    return FileResponse(path.open("rb"), content_type="image/png")


@require_safe
@project_page(ADMIN)
def run_download(request: HttpRequest, project: Project, number: int, file: str) -> FileResponse:
    """For admins: configuration and logs name folders, and the weights are the project's."""
    path = run_file(_run(project, number), file)
    if path is None:
        raise Http404
    return FileResponse(path.open("rb"), as_attachment=True, filename=f"{project.slug}-run-{number}-{file}")


def _run(project: Project, number: int) -> TrainingRun:
    row = run_of(project=project, number=number)
    if row is None:
        raise Http404
    return row


@require_POST
@project_page(ADMIN)
def retrain(request: HttpRequest, project: Project) -> HttpResponse:
    form = RetrainForm(request.POST, project=project)
    if form.is_valid():
        with refusals_told(request, form):
            job = retrain_start(
                project=project,
                user=request.user,
                config=form.config(),
                trigger=TrainingRun.Trigger.BUTTON,
            )
            messages.success(request, "Training has begun.")
            return redirect("run", project.slug, job.training_run.number)
    return _training_page(request, project, form, status=400)


@require_POST
@project_page(ADMIN)
def plan(request: HttpRequest, project: Project) -> HttpResponse:
    """What the run that the form describes would need; the form keeps what was filled in."""
    form = RetrainForm(request.POST, project=project)
    if form.is_valid():
        with refusals_told(request, form):
            memory_plan_start(project=project, user=request.user, config=form.config())
            asked = {name: value for name, value in form.config().items() if name != "snapshot"}
            return redirect(f"{reverse('training', args=[project.slug])}?{urlencode(asked)}")
    return _training_page(request, project, form, status=400)


@require_POST
@project_page(ADMIN)
def go_on(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    with refusals_told(request):
        run_go_on(run=_run(project, number), user=request.user)
        messages.success(request, f"Run {number} goes on.")
    return redirect("run", project.slug, number)


@require_POST
@project_page(ADMIN)
def ask_gate(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    with refusals_told(request):
        job = gate_ask(run=_run(project, number), user=request.user)
        return redirect("job", project.slug, job.pk)
    return redirect("run", project.slug, number)


@require_POST
@project_page(ADMIN)
def queue_second_labels(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        tasks = second_labels_queue(project=project, user=request.user, doubted=labels_doubted(project=project))
        messages.success(request, f"{len(tasks)} pairs of the holdout wait in the queue for a second, blind label.")
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


def _forecast(request: HttpRequest, project: Project) -> Forecast | None:
    """For admins, who alone can remove anything: it looks at every version's files."""
    if not has_role(user=request.user, project=project, role=ADMIN):
        return None
    return retention_forecast(project=project, last=whole_number(request.GET.get("last")) or LAST_KEPT)


@require_safe
@project_page()
def models(request: HttpRequest, project: Project) -> HttpResponse:
    deployments = deployments_of(project=project)
    search, stage = request.GET.get("search", "").strip(), request.GET.get("stage", "")
    context = {
        "versions": versions_shown(project=project, search=search, stage=stage)[:100],
        "archived": versions_shown(project=project, search=search, stage=stage, archived=True)[:100],
        "search": search,
        "stage": stage,
        "stages": ModelVersion.Stage.choices,
        "forecast": _forecast(request, project),
        "deployments": deployments,
        "serving_since": deployments[0] if deployments else None,
        "rollback_to": rollback_target(project=project),
        "quality": serving_quality(project=project),
        "untaught": untaught_concepts(project=project),
    }
    return page(request, "registry/models.html", context, project=project)
