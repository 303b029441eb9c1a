"""The pages around the two desks: the annotator's, the reviewer's, and the list of what waits for review."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotator.common.access import annotation_for
from annotator.common.shell import REVIEWER, desk_urls, page, project_page, whole_number
from annotator.models import Project
from annotator.selectors.reviews_page import reviews_page


@require_safe
@project_page(REVIEWER)
def reviews(request: HttpRequest, project: Project) -> HttpResponse:
    rows, more = reviews_page(project=project, user=request.user, after=whole_number(request.GET.get("after")))
    first = next((row for row in rows if not row.barred), None)
    return page(request, "reviews.html", {"rows": rows, "more": more, "first": first}, project=project)


@require_safe
@project_page()
def review(request: HttpRequest, project: Project, annotation_id: int) -> HttpResponse:
    """For reviewers, and for the author who wants to see what became of it."""
    annotation = annotation_for(request.user, annotation_id)
    if annotation.task.project_id != project.pk:
        raise Http404
    context = {"annotation_id": annotation_id, "urls": desk_urls(project)}
    return page(request, "review_desk.html", context, project=project)
