"""Data versions, model versions, and the record of who did what."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotator.common.shell import ADMIN, page, project_page, whole_number
from annotator.models import Project
from annotator.selectors.audit_page import audit_page
from annotator.selectors.models_page import (
    deployments_of,
    rollback_target,
    serving_quality,
    untaught_concepts,
    versions_of,
)


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
