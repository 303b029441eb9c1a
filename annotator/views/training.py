"""Training runs: the list with the retrain form, and one run live."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from annotator.common.active import pairs_active
from annotator.common.shell import page, project_page
from annotator.forms import RetrainForm
from annotator.models import Job, Pair, Project, TrainingRun
from annotator.queue.holdout_progress import holdout_state
from annotator.selectors.run_page import gate_report, passed_against, run_of, runs_of, sample_cards, series_for_plots


@require_safe
@project_page()
def training(request: HttpRequest, project: Project) -> HttpResponse:
    runs = runs_of(project=project)
    in_flight = [run for run in runs if run.job.state in Job.IN_FLIGHT]
    context = {
        "runs": runs,
        "current": in_flight[0] if in_flight else None,
        "any_settled": pairs_active(project=project).exclude(truth=Pair.Truth.UNSEEN).exists(),
        "form": RetrainForm(project=project),
        "holdout": holdout_state(project=project),
    }
    return page(request, "training.html", context, project=project)


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
        "report": gate_report(row),
        "may_promote": passed_against(row, project.serving_version_id),
        "samples": sample_cards(row),
        "is_serving": row.version_id is not None and row.version_id == project.serving_version_id,
    }
    return page(request, "run.html", context, project=project)


@require_safe
@project_page()
def series(request: HttpRequest, project: Project, number: int) -> JsonResponse:
    """What the plots are drawn from; `ended` tells the page to stop asking and to read itself anew."""
    row = _run(project, number)
    ended = row.job.state not in Job.IN_FLIGHT
    return JsonResponse({"series": series_for_plots(row), "phase": row.series.get("phase", ""), "ended": ended})


def _run(project: Project, number: int) -> TrainingRun:
    row = run_of(project=project, number=number)
    if row is None:
        raise Http404
    return row
