"""The list of projects, a project's home, and the making of a new one."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from annotator.common.access import may_create_project, memberships_of, projects_of, role_of
from annotator.common.active import concepts_active
from annotator.common.shell import log_in_first, page, posted, project_page, refusals_told
from annotator.models import Project
from annotator.registry.learning_curve import curve_points
from annotator.registry.models_page import serving_quality, untaught_concepts

from .curve import LearningCurve, Round, learning_curve, next_target
from .curve_page import TargetForm, curve_chart, failures_url, forecast_words, random_words
from .forms import ProjectForm
from .loop_picture import picture
from .overview import Counts, loop_stations, next_step, project_counts
from .services import project_create


@require_safe
@log_in_first
def home(request: HttpRequest) -> HttpResponse:
    """My projects; the one itself where there is just one."""
    projects = list(projects_of(user=request.user)[:200])
    if len(projects) == 1:
        return redirect("project", projects[0].slug)
    return page(request, "home/home.html", {"projects": projects})


@require_http_methods(["GET", "HEAD", "POST"])
@log_in_first
def project_new(request: HttpRequest) -> HttpResponse:
    roles = {row.role for row in memberships_of(user=request.user)}
    if not may_create_project(user=request.user, roles=roles):
        raise PermissionDenied
    form = ProjectForm(posted(request))
    if request.method == "POST" and form.is_valid():
        with refusals_told(request, form):
            project = project_create(user=request.user, **form.cleaned_data)
            messages.success(request, f"{project.name} is ready. Import images next.")
            return redirect("images", project.slug)
    return page(request, "home/project_new.html", {"form": form}, status=400 if form.errors else 200)


@require_safe
@project_page()
def project_home(request: HttpRequest, project: Project) -> HttpResponse:
    context = _loop(request, project) | {
        "concepts": concepts_active(project=project),
        "untaught": untaught_concepts(project=project),
        "quality": serving_quality(project=project),
        "curve_data": _small_curve(project),
    }
    return page(request, "home/project.html", context, project=project)


def _small_curve(project: Project) -> dict | None:
    """The curve alone, for a look in passing; None before a second model was judged."""
    points = curve_points(project=project)
    return curve_chart([Round(one) for one in points]) if len(points) > 1 else None


@require_safe
@project_page()
def curve(request: HttpRequest, project: Project) -> HttpResponse:
    """What people's hours have made of the model, and what more of them would; `?target=65` names a CGF1."""
    form = TargetForm(request.GET if "target" in request.GET else None)
    target = form.cleaned_data["target"] / 100 if form.is_bound and form.is_valid() else None
    found = learning_curve(project=project, target=target)
    if not form.is_bound:
        form = TargetForm(initial={"target": f"{100 * next_target(found.points):g}"})
    context = _curve_context(project, found) | {"form": form}
    return page(request, "home/curve.html", context, project=project, status=400 if form.errors else 200)


def _curve_context(project: Project, found: LearningCurve) -> dict:
    goal = found.forecast.target if found.forecast else None
    return {
        "curve": found,
        "curve_data": curve_chart(found.rounds, found.random, goal),
        "forecast_words": forecast_words(found.forecast, found) if found.forecast else [],
        "random_words": random_words(found.random, found.spent.seconds / 3600),
        "failures_url": failures_url(project, found),
    }


@require_safe
@project_page()
def loop_fragment(request: HttpRequest, project: Project) -> HttpResponse:
    """The picture alone, polled by the home page: it lives."""
    return page(request, "home/loop.html", _loop(request, project), project=project)


def _loop(request: HttpRequest, project: Project) -> dict:
    counts: Counts = project_counts(project=project, user=request.user)
    role = role_of(user=request.user, project=project)
    step = next_step(project=project, counts=counts, role=role)
    stations = loop_stations(project=project, counts=counts)
    return {"counts": counts, "step": step, "picture": picture(project, stations, step, role)}
