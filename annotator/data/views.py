"""The images of a project: bring them in, look through them, read what was refused."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.common.access import has_role, image_for, members_active
from annotator.common.active import concepts_active
from annotator.common.shell import ADMIN, REVIEWER, errors_told, page, project_page, refusals_told
from annotator.jobs.selectors import newest_job, newest_jobs
from annotator.jobs.views import project_job
from annotator.models import Image, Job, Project
from annotator.queue.selectors import reasons_shown
from annotator.queue.visibility import may_be_tested

from .buckets import is_bucket
from .exports import export_file, export_start
from .forms import ExportForm, ImportForm, SnapshotForm
from .gallery_views import last_change
from .image_filter import DISAGREEMENTS, ORIGINS, STATES, TRUTHS, filter_parsed, filters_unheard
from .image_page import image_known, image_layers, neighbours
from .images_page import images_page, sources_of, split_counts
from .imports import import_start
from .named_sources import source_allowed, source_name, sources_open
from .pseudo_labels import pseudo_bound
from .snapshots_page import SNAPSHOT_FILES, snapshot_file, snapshots_of
from .splits import DEFAULT
from .uploads import upload_keep, upload_name

IMPORTS_OFFERED = 20


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def images(request: HttpRequest, project: Project) -> HttpResponse:
    """GET looks; POST imports and is the admins' alone."""
    if request.method == "POST":
        return bring_in(request, slug=project.slug)
    return _page(request, project, ImportForm(opened=sources_open()))


@project_page(ADMIN)
def bring_in(request: HttpRequest, project: Project) -> HttpResponse:
    form = ImportForm(request.POST, request.FILES, opened=sources_open())
    if form.is_valid():
        data, files = form.cleaned_data, form.cleaned_data["files"]
        with refusals_told(request, form):
            job = import_start(
                project=project,
                user=request.user,
                upload_path=upload_keep(files) if files else source_allowed(data["place"]),
                named_by_person=not files,
                kind=data["kind"],
                split=data["split"] or None,
                source=data["source"] or (upload_name(files) if files else source_name(data["place"])),
                complete=data["vouch"] == "complete",
                exhaustive=data["vouch"] == "exhaustive",
                dry_run="look" in request.POST,
                create_concepts=data["create_concepts"],
                boxes=data["boxes"] or "sketch",
                negative_of=data["negative_of"],
                holdout_share=data["holdout_share"] or 0.0,
                shares=data["shares"] or str(DEFAULT),
            )
            looks = job.params["dry_run"]
            messages.success(request, "Looking at the files." if looks else "The import runs in the background.")
            return go(request, "job", project.slug, job.pk)
    return _page(request, project, form, status=400)


def go(request: HttpRequest, name: str, *args: object) -> HttpResponse:
    """A redirect that the uploading script follows as well: it gets the address and opens it itself."""
    response = redirect(name, *args)
    if "HX-Request" in request.headers:
        return HttpResponse(status=204, headers={"HX-Redirect": response["Location"]})
    return response


def _page(request: HttpRequest, project: Project, form: ImportForm, status: int = 200) -> HttpResponse:
    wanted = filter_parsed(request.GET)
    job = newest_job(project=project, kind=Job.Kind.IMPORT)
    context = {
        "form": form,
        "found": images_page(project=project, wanted=wanted, user=request.user),
        "wanted": wanted,
        "unheard": filters_unheard(request.GET),
        "opened_with": f"?{wanted.address}" if wanted.is_narrowed else "",
        "splits": split_counts(project=project),
        "choices": _choices(project),
        "change": last_change(project=project, user=request.user),
        "seen_at": timezone.now().isoformat(),
        "job": job,
        "importing": job is not None and job.state in Job.IN_FLIGHT,
        "may_import": has_role(user=request.user, project=project, role=ADMIN),
    }
    return page(request, "data/images.html", context, project=project, status=status)


def _choices(project: Project) -> dict[str, object]:
    """What each filter may be set to; `only_concept` is chosen for acts where there is no other."""
    concepts = list(concepts_active(project=project))
    return {
        "only_concept": concepts[0].pk if len(concepts) == 1 else None,
        "sources": [source for source in sources_of(project=project) if source],
        "concepts": concepts,
        "truths": TRUTHS,
        "origins": ORIGINS,
        "states": STATES,
        "reasons": reasons_shown().items(),
        "disagreements": DISAGREEMENTS,
        "people": members_active(project=project),
        "imports": newest_jobs(project=project, kind=Job.Kind.IMPORT, limit=IMPORTS_OFFERED),
    }


@require_safe
@project_page()
def image(request: HttpRequest, project: Project, sha256: str) -> HttpResponse:
    """One image with its masks and history; the list's filter goes with it from one to the next."""
    row, wanted = image_for(request.user, project.slug, sha256), filter_parsed(request.GET)
    known = image_known(image=row, project=project, user=request.user)
    before, after = neighbours(image=row, project=project, wanted=wanted, user=request.user)
    context = {
        "image": row,
        "known": known,
        "drawing": {"width": row.width, "height": row.height, "layers": image_layers(known)},
        "any_predicted": any(one.predicted for one in known),
        "is_holdout": row.split == Image.Split.HOLDOUT,
        "before": before,
        "after": after,
        "asked": wanted.address,
        "seen_at": timezone.now().isoformat(),
    }
    return page(request, "data/image.html", context, project=project)


@require_safe
@project_page()
def snapshots(request: HttpRequest, project: Project) -> HttpResponse:
    job = newest_job(project=project, kind=Job.Kind.SNAPSHOT)
    context = {
        "snapshots": snapshots_of(project=project),
        "pseudo": pseudo_bound(project=project) if project.pseudo_labels else None,
        "is_tested": may_be_tested(project=project, user=request.user),
        "snapshot_form": SnapshotForm(),
        "export_form": ExportForm(project=project, buckets=_buckets_open()),
        "any_retired": project.concepts.filter(retired_at__isnull=False, merged_into=None).exists(),
        "exports": newest_jobs(project=project, kind=Job.Kind.EXPORT, limit=5),
        "job": job,
        "writing": job is not None and job.state in Job.IN_FLIGHT,
    }
    return page(request, "data/snapshots.html", context, project=project)


@require_safe
@project_page()
def snapshot_download(request: HttpRequest, project: Project, number: int, name: str) -> HttpResponse:
    """One file of a snapshot, the manifest or a split's SA-Co document; not for whoever may be asked what is in it."""
    if may_be_tested(project=project, user=request.user):
        raise PermissionDenied
    snapshot = project.snapshots.filter(number=number).first()
    if snapshot is None or name not in SNAPSHOT_FILES:
        raise Http404
    path = snapshot_file(snapshot=snapshot, name=name)
    if not path.is_file():
        raise Http404
    shown = f"{project.slug}-snapshot-{number}-{name}"
    return FileResponse(path.open("rb"), as_attachment=True, filename=shown, content_type="application/json")


@require_POST
@project_page(REVIEWER)
def export(request: HttpRequest, project: Project) -> HttpResponse:
    form = ExportForm(request.POST, project=project, buckets=_buckets_open())
    if form.is_valid():
        with refusals_told(request, form):
            job = export_start(project=project, user=request.user, named_by_person=True, **form.cleaned_data)
            messages.success(request, "The export is being written; what came of it is told here when it is done.")
            return redirect("job", project.slug, job.pk)
    errors_told(request, form)
    return redirect("snapshots", project.slug)


def _buckets_open() -> list[str]:
    return [place for place in sources_open() if is_bucket(place)]


@require_safe
@project_page(REVIEWER)
def export_download(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    """The zip of a finished export; gone means: back to its job, which says so."""
    row = project_job(request, project, job_id)
    with refusals_told(request):
        path = export_file(job=row)
        return FileResponse(path.open("rb"), as_attachment=True, filename=path.name, content_type="application/zip")
    return redirect("job", project.slug, row.pk)
