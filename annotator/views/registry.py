"""Data versions, model versions, and the record of who did what."""

from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotator.common.shell import ADMIN, page, project_page, whole_number
from annotator.forms import ExportForm
from annotator.jobs.selectors import newest_job, newest_jobs
from annotator.models import Job, Project
from annotator.queue.visibility import may_be_tested
from annotator.selectors.audit_page import audit_page
from annotator.selectors.models_page import (
    deployments_of,
    rollback_target,
    serving_quality,
    untaught_concepts,
    versions_of,
)
from annotator.selectors.snapshots_page import SNAPSHOT_FILES, snapshot_file, snapshots_of


@require_safe
@project_page()
def snapshots(request: HttpRequest, project: Project) -> HttpResponse:
    job = newest_job(project=project, kind=Job.Kind.SNAPSHOT)
    context = {
        "snapshots": snapshots_of(project=project),
        "files": () if may_be_tested(project=project, user=request.user) else SNAPSHOT_FILES,
        "export_form": ExportForm(),
        "any_retired": project.concepts.filter(retired_at__isnull=False, merged_into=None).exists(),
        "exports": newest_jobs(project=project, kind=Job.Kind.EXPORT, limit=5),
        "job": job,
        "writing": job is not None and job.state in Job.IN_FLIGHT,
    }
    return page(request, "snapshots.html", context, project=project)


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


@require_safe
@project_page()
def models(request: HttpRequest, project: Project) -> HttpResponse:
    deployments = deployments_of(project=project)
    context = {
        "versions": versions_of(project=project)[:100],
        "deployments": deployments,
        "serving_since": deployments[0] if deployments else None,
        "rollback_to": rollback_target(project=project),
        "quality": serving_quality(project=project),
        "untaught": untaught_concepts(project=project),
    }
    return page(request, "models.html", context, project=project)


@require_safe
@project_page(ADMIN)
def audit(request: HttpRequest, project: Project) -> HttpResponse:
    before = whole_number(request.GET.get("before"))
    events, more = audit_page(project=project, before=before)
    return page(request, "audit.html", {"events": events, "more": more}, project=project)
