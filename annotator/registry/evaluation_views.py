"""Pages of evaluations: all of them, one, versions side by side; and the gate's decisions, with or without a run."""

from http import HTTPStatus

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.common.errors import RoostError
from annotator.common.shell import ADMIN, page, project_page, refusals_told, whole_number
from annotator.models import Evaluation, GateDecision, Job, ModelVersion, Project
from toolbox.presets import PRESETS

from .evaluating import evaluation_ask
from .evaluation_page import SHOWN, counts_as_look, evaluation_of, evaluations_of, figures_of, groups_of, verdict_of
from .forms import EvaluationForm, GateForm
from .gate_page import earlier_of, gate_of, gate_told, gates_listed, passes_now, policy_rows
from .gating import gate_ask_of
from .promotion import version_named, version_promote
from .version_compare import AT_MOST, Comparison, comparison_of, versions_compared


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def evaluations(request: HttpRequest, project: Project) -> HttpResponse:
    """GET lists; POST measures a version and is the admins' alone."""
    if request.method == "POST":
        return ask_evaluation(request, slug=project.slug)
    begun = {"version": request.GET["version"]} if "version" in request.GET else {}
    return _evaluations_page(request, project, EvaluationForm(project=project, initial=begun))


def _evaluations_page(request: HttpRequest, project: Project, form: EvaluationForm, status: int = 200) -> HttpResponse:
    version = ModelVersion.objects.filter(name=request.GET.get("version", "")).first()
    running = project.jobs.filter(kind=Job.Kind.EVALUATE, state__in=Job.IN_FLIGHT)
    context = {
        "evaluations": evaluations_of(project=project, version=version)[:SHOWN],
        "of": version,
        "form": form,
        "jobs": running,
    }
    return page(request, "registry/evaluations.html", context, project=project, status=status)


@project_page(ADMIN)
def ask_evaluation(request: HttpRequest, project: Project) -> HttpResponse:
    form = EvaluationForm(request.POST, project=project)
    if form.is_valid():
        with refusals_told(request, form):
            asked = dict(form.cleaned_data)
            version = version_named(project=project, name=asked.pop("version"))
            job = evaluation_ask(project=project, version=version, user=request.user, **asked)
            return redirect("job", project.slug, job.pk)
    return _evaluations_page(request, project, form, status=400)


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
        "others": _others(row),
    }
    return page(request, "registry/evaluation.html", context, project=project)


def _others(row: Evaluation) -> list[str]:
    """Versions that were judged on the same set, to stand beside this one."""
    same = evaluations_of(project=row.project).filter(snapshot=row.snapshot, split=row.split)
    names = same.exclude(version=row.version_id).order_by("version__name").values_list("version__name", flat=True)
    return list(names.distinct()[:50])


@require_safe
@project_page()
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    found: Comparison | None = None
    snapshot, split = whole_number(request.GET.get("snapshot")), request.GET.get("split", "")
    if "set" in request.GET:  # «12 holdout»: one choice of the page's form
        number, _, split = request.GET["set"].partition(" ")
        snapshot = whole_number(number)
    try:
        versions = versions_compared(project=project, names=request.GET.getlist("version"))
        found = comparison_of(project=project, versions=versions, snapshot=snapshot, split=split)
    except RoostError as error:
        if error.http_status == HTTPStatus.NOT_FOUND:
            raise Http404 from error
    context = {"found": found, "at_most": AT_MOST}
    return page(request, "registry/version_compare.html", context, project=project)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def gates(request: HttpRequest, project: Project) -> HttpResponse:
    """GET lists the decisions; POST asks about a version and is the admins' alone."""
    if request.method == "POST":
        return ask_gate_of(request, slug=project.slug)
    return _gates_page(request, project, GateForm(project=project))


def _gates_page(request: HttpRequest, project: Project, form: GateForm, status: int = 200) -> HttpResponse:
    context = {"gates": gates_listed(project=project)[:SHOWN], "form": form}
    return page(request, "registry/gates.html", context, project=project, status=status)


@project_page(ADMIN)
def ask_gate_of(request: HttpRequest, project: Project) -> HttpResponse:
    form = GateForm(request.POST, project=project)
    if form.is_valid():
        with refusals_told(request, form):
            asked = dict(form.cleaned_data)
            version = version_named(project=project, name=asked.pop("version"))
            job = gate_ask_of(project=project, version=version, user=request.user, **asked)
            return redirect("job", project.slug, job.pk)
    return _gates_page(request, project, form, status=400)


@require_safe
@project_page()
def gate(request: HttpRequest, project: Project, gate_id: int) -> HttpResponse:
    row = _gate(project, gate_id)
    context = {
        "report": gate_told(row),
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
