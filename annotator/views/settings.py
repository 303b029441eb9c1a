"""A project's thresholds, policies and concepts."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from annotator.forms import ConceptForm, ConceptLookForm, SettingsForm
from annotator.models import Project
from annotator.services.concepts import concept_update
from annotator.services.projects import concept_add, project_settings_update

from .shell import ADMIN, page, posted, project_page, refusals_told


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
    return _page(request, project, form, ConceptForm())


@require_POST
@project_page(ADMIN)
def add_concept(request: HttpRequest, project: Project) -> HttpResponse:
    form = ConceptForm(request.POST)
    if form.is_valid():
        with refusals_told(request, form):
            concept = concept_add(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, f"Every image now has a pair with «{concept.name}» that nobody has looked at.")
            return redirect("settings", project.slug)
    return _page(request, project, SettingsForm(instance=project), form)


@require_POST
@project_page(ADMIN)
def change_concept(request: HttpRequest, project: Project, concept_id: int) -> HttpResponse:
    concept = project.concepts.filter(pk=concept_id).first()
    if concept is None:
        raise Http404
    form = ConceptLookForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            concept_update(concept=concept, user=request.user, **form.cleaned_data)
            messages.success(request, f"«{concept.name}» is changed.")
    else:
        messages.error(request, "A colour is # and six of 0-9, a-f.")
    return redirect("settings", project.slug)


def _page(request: HttpRequest, project: Project, form: SettingsForm, concept_form: ConceptForm) -> HttpResponse:
    context = {"form": form, "concept_form": concept_form, "concepts": project.concepts.all()}
    wrong = form.errors or concept_form.errors
    return page(request, "settings.html", context, project=project, status=400 if wrong else 200)
