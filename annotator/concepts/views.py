"""One concept: how it is drawn and called, whether it is asked for, and which other one it really is."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from annotator.common.active import concepts_active
from annotator.common.shell import ADMIN, page, project_page, refusals_told, whole_number
from annotator.models import Concept, Project

from .forms import ConceptLookForm, RenameForm
from .merge import concept_merge
from .selectors import concept_counts, merge_plan
from .services import concept_rename, concept_restore, concept_retire, concept_update


@require_http_methods(["GET", "HEAD", "POST"])
@project_page(ADMIN)
def concept(request: HttpRequest, project: Project, concept_id: int) -> HttpResponse:
    """GET looks, with ?into=<id> also at what a merge would do; POST changes colour and synonyms."""
    row = _concept(project, concept_id)
    if request.method != "POST":
        return _page(request, row, RenameForm(initial={"name": row.name}))
    form = ConceptLookForm(request.POST)
    if not form.is_valid():
        messages.error(request, "A colour is # and six of 0-9, a-f.")
    else:
        with refusals_told(request):
            concept_update(concept=row, user=request.user, **form.cleaned_data)
            messages.success(request, f"«{row.name}» is changed.")
    return redirect("concept", project.slug, row.pk)


@require_POST
@project_page(ADMIN)
def rename(request: HttpRequest, project: Project, concept_id: int) -> HttpResponse:
    row, form = _concept(project, concept_id), RenameForm(request.POST)
    if form.is_valid():
        with refusals_told(request, form):
            dropped = concept_rename(concept=row, user=request.user, **form.cleaned_data)
            again = f" Mine again: {dropped:,} scores of the old name were dropped." if dropped else ""
            messages.success(request, f"«{row.name}» has a new name.{again}")
            return redirect("concept", project.slug, row.pk)
    return _page(request, row, form, status=400)


@require_POST
@project_page(ADMIN)
def merge(request: HttpRequest, project: Project, concept_id: int) -> HttpResponse:
    row, into = _concept(project, concept_id), _other(project, request.POST.get("into"))
    with refusals_told(request):
        done = concept_merge(concept=row, into=into, user=request.user)
        counts = f"{done.moved:,} pairs moved over, {done.together:,} wait for review, {done.conflicts:,} in the queue"
        messages.success(request, f"«{row.name}» is «{into.name}» now: {counts}.")
        return redirect("concept", project.slug, into.pk)
    return redirect("concept", project.slug, row.pk)


@require_POST
@project_page(ADMIN)
def retire(request: HttpRequest, project: Project, concept_id: int) -> HttpResponse:
    row = _concept(project, concept_id)
    with refusals_told(request):
        withdrawn = concept_retire(concept=row, user=request.user)
        messages.success(request, f"«{row.name}» is asked for no more; {withdrawn:,} waiting tasks were withdrawn.")
    return redirect("concept", project.slug, row.pk)


@require_POST
@project_page(ADMIN)
def restore(request: HttpRequest, project: Project, concept_id: int) -> HttpResponse:
    row = _concept(project, concept_id)
    with refusals_told(request):
        added = concept_restore(concept=row, user=request.user)
        messages.success(request, f"«{row.name}» is back, with {added:,} images that came meanwhile. Mine again.")
    return redirect("concept", project.slug, row.pk)


def _concept(project: Project, concept_id: int) -> Concept:
    row = project.concepts.filter(pk=concept_id).select_related("merged_into").first()
    if row is None:
        raise Http404
    return row


def _other(project: Project, text: str | None) -> Concept:
    number = whole_number(text)
    if number is None:
        raise Http404
    return _concept(project, number)


def _page(request: HttpRequest, row: Concept, form: RenameForm, status: int = 200) -> HttpResponse:
    project = row.project
    into = _other(project, request.GET["into"]) if request.GET.get("into") else None
    context = {
        "concept": row,
        "counts": concept_counts(row),
        "form": form,
        "others": concepts_active(project=project).exclude(pk=row.pk),
        "into": into,
        "plan": merge_plan(concept=row, into=into) if into and into.pk != row.pk else None,
    }
    return page(request, "concepts/concept.html", context, project=project, status=status)
