"""A project's thresholds, policies and concepts."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from annotator.common.project_settings import project_settings_update
from annotator.common.shell import ADMIN, page, posted, project_page, refusals_told
from annotator.concepts.forms import ConceptForm
from annotator.concepts.services import concept_add
from annotator.models import Project

from .forms import SettingsForm


@require_http_methods(["GET", "HEAD", "POST"])
@project_page(ADMIN)
def settings(request: HttpRequest, project: Project) -> HttpResponse:
    # The form writes into its own copy, so that the service still sees what was there before.
    form = SettingsForm(posted(request), instance=Project.objects.get(pk=project.pk))
    if request.method == "POST" and form.is_valid():
        with refusals_told(request, form):
            project_settings_update(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, "Saved.")
            return redirect("settings", project.slug)
    return settings_page(request, project, form, ConceptForm())


def settings_page(
    request: HttpRequest, project: Project, form: SettingsForm, concept_form: ConceptForm
) -> HttpResponse:
    context = {"form": form, "concept_form": concept_form, "concepts": project.concepts.all()}
    wrong = form.errors or concept_form.errors
    return page(request, "home/settings.html", context, project=project, status=400 if wrong else 200)


@require_POST
@project_page(ADMIN)
def concept_new(request: HttpRequest, project: Project) -> HttpResponse:
    form = ConceptForm(request.POST)
    if form.is_valid():
        with refusals_told(request, form):
            concept = concept_add(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, f"Every image now has a pair with «{concept.name}» that nobody has looked at.")
            return redirect("settings", project.slug)
    return settings_page(request, project, SettingsForm(instance=project), form)
