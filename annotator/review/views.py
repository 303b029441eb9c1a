"""Review pages: bulk approval, the list and the desk."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from annotator.common.access import annotation_for
from annotator.common.picture_grid import Card, grid_context, left_out, left_out_add, outcomes_tell
from annotator.common.shell import REVIEWER, desk_urls, page, project_page, refusals_told, whole_number
from annotator.models import Annotation, Project

from .bulk_approval import reviews_approve
from .bulk_candidates import BULK_PAGE, answers_for_bulk, bulk_looked_at
from .reviews_page import reviews_page


@require_http_methods(["GET", "HEAD", "POST"])
@project_page(REVIEWER)
def bulk(request: HttpRequest, project: Project) -> HttpResponse:
    """Bulk approval; POST approves what is selected and shows the next."""
    if request.method == "POST":
        return _approve(request, project)
    after, without = whole_number(request.GET.get("after")), left_out(request, _key(project))
    rows, more = answers_for_bulk(project=project, user=request.user, after=after, without=without)
    context = {
        **grid_context([_card(row, project) for row in rows]),
        "more": more,
        "is_on": project.bulk_look_share < 1,
        "looked": bulk_looked_at(project=project),
    }
    return page(request, "review/bulk_approval.html", context, project=project)


def _card(row: Annotation, project: Project) -> Card:
    address = reverse("review", args=[project.slug, row.pk])
    return Card(str(row.pk), row.pair.image, row.pair.concept, row.instances, f"by {row.author}", address)


def _key(project: Project) -> str:
    """Under which the session keeps what was left out."""
    return f"left_out_{project.pk}"


def _numbers(request: HttpRequest, name: str) -> list[int]:
    return [pk for text in request.POST.getlist(name) if (pk := whole_number(text)) is not None]


def _approve(request: HttpRequest, project: Project) -> HttpResponse:
    chosen = _numbers(request, "answer")
    left_out_add(request, _key(project), shown=_numbers(request, "shown"), chosen=chosen)
    with refusals_told(request):
        outcomes = reviews_approve(project=project, reviewer=request.user, annotations=chosen)
        outcomes_tell(request, done=sum(one.approved for one in outcomes), verb="approved", outcomes=outcomes)
    return redirect("reviews-certain", project.slug)


@require_safe
@project_page(REVIEWER)
def bulk_button(request: HttpRequest, project: Project) -> HttpResponse:
    """Apart from the list, because it compares masks: the way to bulk approval, if there is anything for it."""
    rows, _ = answers_for_bulk(project=project, user=request.user, without=left_out(request, _key(project)))
    context = {"project": project, "count": len(rows), "is_full": len(rows) == BULK_PAGE}
    return render(request, "review/bulk_button.html", context)


@require_safe
@project_page(REVIEWER)
def reviews(request: HttpRequest, project: Project) -> HttpResponse:
    rows, more = reviews_page(project=project, user=request.user, after=whole_number(request.GET.get("after")))
    first = next((row for row in rows if not row.barred), None)
    return page(request, "review/reviews.html", {"rows": rows, "more": more, "first": first}, project=project)


@require_safe
@project_page()
def review(request: HttpRequest, project: Project, annotation_id: int) -> HttpResponse:
    """For reviewers, and for the author who wants to see what became of it."""
    annotation = annotation_for(request.user, annotation_id)
    if annotation.task.project_id != project.pk:
        raise Http404
    context = {"annotation_id": annotation_id, "urls": desk_urls(project)}
    return page(request, "review/review_desk.html", context, project=project)
