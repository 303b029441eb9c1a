"""One model version's page, and what admins do there."""

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from annotator.common.access import ADMIN
from annotator.common.errors import RoostError
from annotator.common.shell import errors_told, page, project_page, refusals_told
from annotator.data.learnt import people_of, reviewers_of
from annotator.models import ModelVersion, Project
from toolbox.run_size import gigabytes

from .aliases import aliases_by_hand
from .version_calibration import version_calibration
from .version_facts import (
    FIGURES,
    run_of_version,
    version_aliases,
    version_bytes,
    version_config,
    version_decisions,
    version_deployments,
    version_evaluations,
    version_figures,
    version_lineage,
    version_of,
)
from .version_keeping import version_archive, version_check, version_note
from .version_retention import retention_apply


class NotesForm(forms.Form):
    notes = forms.CharField(required=False, strip=True, widget=forms.Textarea(attrs={"rows": 4}))


class RetentionForm(forms.Form):
    """`expected`: the names that the page showed, so that nothing else goes."""

    last = forms.IntegerField(min_value=1)
    expected = forms.CharField(required=False)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def version(request: HttpRequest, project: Project, version_name: str) -> HttpResponse:
    if request.method == "POST":
        return _note(request, slug=project.slug, version_name=version_name)
    row = _version(project, version_name)
    run = run_of_version(row)
    figures, calibration = version_figures(row), version_calibration(row)
    context = {
        "version": row,
        "run": run,
        "is_own": row.project_id == project.pk,
        "is_serving": row.pk == project.serving_version_id,
        "lineage": version_lineage(project=project, version=row),
        "aliases": version_aliases(project=project, version=row, by_hand=aliases_by_hand() or {}),
        "bytes": version_bytes(row),
        "config": sorted(version_config(row).items()),
        "recipe": row.metrics.get("recipe"),
        "figures": [(split, [figures[split].get(one) for one in FIGURES]) for split in figures],
        "calibration": calibration,
        "charts": [calibration.chart] if calibration and calibration.chart else [],
        "decisions": version_decisions(project=project, version=row),
        "evaluations": version_evaluations(project=project, version=row),
        "deployments": version_deployments(project=project, version=row),
        "people": people_of(snapshot=run.snapshot) if run else [],
        "reviewers": reviewers_of(snapshot=run.snapshot) if run else [],
        "form": NotesForm(initial={"notes": row.notes}),
    }
    return page(request, "registry/version.html", context, project=project)


@project_page(ADMIN)
def _note(request: HttpRequest, project: Project, version_name: str) -> HttpResponse:
    form = NotesForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            version_note(
                project=project,
                version=_version(project, version_name),
                user=request.user,
                notes=form.cleaned_data["notes"],
            )
            messages.success(request, f"The notes of {version_name} are kept.")
    errors_told(request, form)
    return redirect("version", project.slug, version_name)


@require_POST
@project_page(ADMIN)
def archive(request: HttpRequest, project: Project, version_name: str) -> HttpResponse:
    row, archived = _version(project, version_name), request.POST.get("archived") == "1"
    with refusals_told(request):
        version_archive(project=project, version=row, user=request.user, archived=archived)
        done = "folded away: the models page shows it under «Archived»" if archived else "back in the list"
        messages.success(request, f"{version_name} is {done}.")
    return redirect("version", project.slug, version_name)


@require_POST
@project_page(ADMIN)
def check(request: HttpRequest, project: Project, version_name: str) -> HttpResponse:
    with refusals_told(request):
        found = version_check(version=_version(project, version_name))
        tell = messages.success if found.is_sound else messages.error
        tell(request, found.words)
    return redirect("version", project.slug, version_name)


@require_POST
@project_page(ADMIN)
def retention(request: HttpRequest, project: Project) -> HttpResponse:
    form = RetentionForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            expected = form.cleaned_data["expected"].split()
            done = retention_apply(
                project=project, user=request.user, last=form.cleaned_data["last"], expected=expected
            )
            gone = ", ".join(row.version.name for row in done.goes) or "none"
            messages.success(request, f"Weights removed: {gone}; {gigabytes(done.freed_bytes)} are free again.")
    errors_told(request, form)
    return redirect("models", project.slug)


def _version(project: Project, name: str) -> ModelVersion:
    try:
        return version_of(project=project, name=name)
    except RoostError:
        raise Http404 from None
