"""Pages of evaluations: all of them, one, versions side by side; and the gate's decisions, with or without a run."""

from collections.abc import Callable
from http import HTTPStatus

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.common.errors import RoostError
from annotator.common.shell import ADMIN, page, project_page, refusals_told, whole_number
from annotator.models import GateDecision, Job, Project
from toolbox.presets import PRESETS

from .evaluating import evaluation_ask
from .evaluation_page import (
    SHOWN,
    counts_as_look,
    evaluation_of,
    evaluations_of,
    figures_of,
    groups_of,
    others_of,
    verdict_of,
)
from .forms import EvaluationForm, GateForm, OfVersionForm
from .gate_page import earlier_of, gate_of, gates_listed, passes_now, policy_rows
from .gating import gate_ask_of
from .promotion import version_named, version_promote
from .run_page import report_of
from .version_compare import comparison_of, versions_compared
from .version_facts import version_of


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def evaluations(request: HttpRequest, project: Project) -> HttpResponse:
    """GET lists; POST measures a version and is the admins' alone."""
    if request.method == "POST":
        return _ask(request, slug=project.slug, form=EvaluationForm, ask=evaluation_ask, shown=_evaluations_page)
    begun = {"version": request.GET["version"]} if "version" in request.GET else {}
    return _evaluations_page(request, project, EvaluationForm(project=project, initial=begun))


def _evaluations_page(request: HttpRequest, project: Project, form: EvaluationForm, status: int = 200) -> HttpResponse:
    name = request.GET.get("version", "")
    try:
        version = version_of(project=project, name=name) if name else None
    except RoostError as error:
        raise Http404 from error
    running = project.jobs.filter(kind=Job.Kind.EVALUATE, state__in=Job.IN_FLIGHT)
    context = {
        "evaluations": evaluations_of(project=project, version=version)[:SHOWN],
        "of": version,
        "form": form,
        "jobs": running,
    }
    return page(request, "registry/evaluations.html", context, project=project, status=status)


@project_page(ADMIN)
def _ask(
    request: HttpRequest,
    project: Project,
    form: type[OfVersionForm],
    ask: Callable[..., Job],
    shown: Callable[..., HttpResponse],
) -> HttpResponse:
    """To the job that the form asks for; the page again where it is refused."""
    filled = form(request.POST, project=project)
    if filled.is_valid():
        with refusals_told(request, filled):
            asked = dict(filled.cleaned_data)
            version = version_named(project=project, name=asked.pop("version"))
            job = ask(project=project, version=version, user=request.user, **asked)
            return redirect("job", project.slug, job.pk)
    return shown(request, project, filled, status=400)


@require_safe
@project_page()
def evaluation(request: HttpRequest, project: Project, evaluation_id: int) -> HttpResponse:
    row = evaluation_of(project=project, evaluation_id=evaluation_id)
    if row is None:
        raise Http404
    preset = request.GET.get("preset", "")
    preset = preset if preset in PRESETS else ""
    context = {
        "evaluation": row,
        "figures": figures_of(row),
        "groups": groups_of(row),
        "verdict": verdict_of(row, preset),
        "preset": preset or row.preset.get("name", ""),
        "presets": PRESETS,
        "counts_as_look": counts_as_look(row),
        "others": others_of(row),
    }
    return page(request, "registry/evaluation.html", context, project=project)


@require_safe
@project_page()
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    snapshot, split = whole_number(request.GET.get("snapshot")), request.GET.get("split", "")
    if "set" in request.GET:  # «12 holdout»: one choice of the page's form
        number, _, split = request.GET["set"].partition(" ")
        snapshot = whole_number(number)
    context: dict[str, object] = {}
    try:
        versions = versions_compared(project=project, names=request.GET.getlist("version"))
        context["found"] = comparison_of(project=project, versions=versions, snapshot=snapshot, split=split)
    except RoostError as error:
        if error.http_status == HTTPStatus.NOT_FOUND:
            raise Http404 from error
        context["refusal"] = str(error)
    return page(request, "registry/version_compare.html", context, project=project)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def gates(request: HttpRequest, project: Project) -> HttpResponse:
    """GET lists the decisions; POST asks about a version and is the admins' alone."""
    if request.method == "POST":
        return _ask(request, slug=project.slug, form=GateForm, ask=gate_ask_of, shown=_gates_page)
    return _gates_page(request, project, GateForm(project=project))


def _gates_page(request: HttpRequest, project: Project, form: GateForm, status: int = 200) -> HttpResponse:
    context = {"gates": gates_listed(project=project)[:SHOWN], "form": form}
    return page(request, "registry/gates.html", context, project=project, status=status)


@require_safe
@project_page()
def gate(request: HttpRequest, project: Project, gate_id: int) -> HttpResponse:
    row = _gate(project, gate_id)
    context = {
        "report": report_of(row),
        "is_serving": row.challenger_id == project.serving_version_id,
        "may_promote": passes_now(row, project.serving_version_id),
        "earlier_gates": earlier_of(row),
        "policy": policy_rows(row),
        "evaluations": row.evaluations.select_related("version"),
    }
    return page(request, "registry/gate_page.html", context, project=project)


@require_POST
@project_page(ADMIN)
def gate_promote(request: HttpRequest, project: Project, gate_id: int) -> HttpResponse:
    """Let the version serve that this decision is about; against the gate with a written reason."""
    row = _gate(project, gate_id)
    with refusals_told(request):
        reason = request.POST.get("override_reason", "")
        version_promote(project=project, version=row.challenger, user=request.user, override_reason=reason)
        messages.success(request, f"{row.challenger.name} serves from now on.")
    return redirect("gate", project.slug, gate_id)


def _gate(project: Project, gate_id: int) -> GateDecision:
    row = gate_of(project=project, gate_id=gate_id)
    if row is None:
        raise Http404
    return row
