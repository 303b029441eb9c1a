"""Data versions, model versions, and the record of who did what."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotator.common.shell import ADMIN, page, project_page, whole_number
from annotator.models import Project
from annotator.selectors.audit_page import audit_page


@require_safe
@project_page(ADMIN)
def audit(request: HttpRequest, project: Project) -> HttpResponse:
    before = whole_number(request.GET.get("before"))
    events, more = audit_page(project=project, before=before)
    return page(request, "audit.html", {"events": events, "more": more}, project=project)
