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
from annotator.registry.models_page import serving_quality, untaught_concepts

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
    }
    return page(request, "home/project.html", context, project=project)


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
