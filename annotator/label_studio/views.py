"""The bond to a project in Label Studio: what it is, how it is made, undone and used."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from annotator.common.shell import ADMIN, page, posted, project_page, refusals_told
from annotator.models import Project

from .client import is_set_up
from .forms import LabelStudioForm, PushForm
from .links import link_create, link_remove, pull_start
from .push import push_start
from .selectors import link_card, push_card


@require_http_methods(["GET", "HEAD", "POST"])
@project_page(ADMIN)
def label_studio(request: HttpRequest, project: Project) -> HttpResponse:
    """What is linked; POST links, after Label Studio was asked whether it can be."""
    form = LabelStudioForm(posted(request), project=project)
    if request.method == "POST" and form.is_valid():
        with refusals_told(request, form):
            link = link_create(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, f"Linked to «{link.title}». Pull everything to fetch what is there already.")
            return redirect("label-studio", project.slug)
    return _page(request, project, form, PushForm(project=project))


def _page(request: HttpRequest, project: Project, form: LabelStudioForm, push_form: PushForm) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "push_form": push_form, "is_set_up": is_set_up()}
    context |= {"card": link_card(project=project), "pushes": push_card(project=project)}
    status = 400 if form.errors or push_form.errors else 200
    return page(request, "label_studio/label_studio.html", context, project=project, status=status)


@require_POST
@project_page(ADMIN)
def push(request: HttpRequest, project: Project) -> HttpResponse:
    """Send what is settled to Label Studio, in a job."""
    form = PushForm(posted(request), project=project)
    if form.is_valid():
        with refusals_told(request, form):
            job = push_start(project=project, user=request.user, **form.cleaned_data)
            return redirect("job", project.slug, job.pk)
    return _page(request, project, LabelStudioForm(project=project), form)


@require_POST
@project_page(ADMIN)
def unlink(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        link_remove(project=project, user=request.user)
        messages.success(request, "The link is removed; the answers stay.")
    return redirect("label-studio", project.slug)


@require_POST
@project_page(ADMIN)
def pull(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        job = pull_start(project=project, user=request.user)
        return redirect("job", project.slug, job.pk)
    return redirect("label-studio", project.slug)
