"""The pages of data versions: all of them, one, the difference of two; take, name and publish."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.common.errors import RoostError
from annotator.common.shell import ADMIN, errors_told, page, project_page, refusals_told, whole_number
from annotator.jobs.selectors import newest_job
from annotator.models import Job, Project, Snapshot
from annotator.queue.visibility import may_be_tested

from .dvc import dvc_program
from .forms import SnapshotForm
from .publications import publish_start, published_to, tag_of
from .snapshot_difference import KINDS, snapshot_difference
from .snapshot_folders import snapshot_numbered
from .snapshot_names import changes_told, snapshot_describe, words_of
from .snapshots import snapshot_start
from .snapshots_page import change_cards, concept_rows, snapshot_row


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def snapshot(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    """GET looks, with ?since=<number> at what changed; POST changes name, notes and tag and is the admins' alone."""
    row = _snapshot(project, number)
    if request.method == "POST":
        return describe(request, slug=project.slug, number=number)
    if since := whole_number(request.GET.get("since")):
        return redirect("snapshot-difference", project.slug, _snapshot(project, since).number, number)
    return _page(request, row, SnapshotForm(initial=words_of(row)))


@project_page(ADMIN)
def describe(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    row, form = _snapshot(project, number), SnapshotForm(request.POST)
    if form.is_valid():
        with refusals_told(request, form):
            before = words_of(row)
            # A field that the form did not send stays; an empty one takes away what was there.
            given = {key: text for key, text in form.cleaned_data.items() if key in request.POST}
            snapshot_describe(snapshot=row, user=request.user, **given)
            messages.success(request, changes_told(snapshot=row, before=before))
            return redirect("snapshot", project.slug, number)
    return _page(request, _snapshot(project, number), form, status=400)


def _page(request: HttpRequest, row: Snapshot, form: SnapshotForm, status: int = 200) -> HttpResponse:
    project = row.project
    job = newest_job(project=project, kind=Job.Kind.PUBLISH)
    remote = published_to(row)
    context = {
        "row": snapshot_row(row),
        "snapshot": row,
        "form": form,
        "others": project.snapshots.exclude(pk=row.pk).only("project", "number", "name", "tag")[:200],
        "is_tested": may_be_tested(project=project, user=request.user),
        "version": tag_of(row),
        "remote": remote.place if remote else "",
        "any_dvc": dvc_program() is not None,
        "job": job if job and job.params.get("snapshot") == row.number else None,
        "publishing": job is not None and job.state in Job.IN_FLIGHT,
    }
    return page(request, "data/snapshot.html", context, project=project, status=status)


@require_safe
@project_page()
def difference(request: HttpRequest, project: Project, number: int, other: int) -> HttpResponse:
    """From the first to the second; not for whoever may be asked what is in them."""
    if may_be_tested(project=project, user=request.user):
        raise PermissionDenied
    before, after = _snapshot(project, number), _snapshot(project, other)
    with refusals_told(request):
        found = snapshot_difference(before=before, after=after)
        context = {
            "before": before,
            "after": after,
            "found": found,
            "kinds": [(kind, found.counts[kind], change_cards(project, found.examples[kind])) for kind in KINDS],
            "concepts": concept_rows(found),
        }
        return page(request, "data/snapshot_difference.html", context, project=project)
    return redirect("snapshot", project.slug, number)


@require_POST
@project_page(ADMIN)
def take_snapshot(request: HttpRequest, project: Project) -> HttpResponse:
    form = SnapshotForm(request.POST)
    if form.is_valid():
        with refusals_told(request, form):
            snapshot_start(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, "The snapshot is being written.")
    errors_told(request, form)
    return redirect("snapshots", project.slug)


@require_POST
@project_page(ADMIN)
def publish(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    _snapshot(project, number)
    with refusals_told(request):
        publish_start(project=project, user=request.user, number=number)
        messages.success(request, f"Snapshot {number} is being published.")
    return redirect("snapshot", project.slug, number)


def _snapshot(project: Project, number: int) -> Snapshot:
    try:
        return snapshot_numbered(project=project, number=number)
    except RoostError:
        raise Http404 from None
