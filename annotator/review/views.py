"""Review pages: bulk approval, the list and the desk."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from annotator.common.access import annotation_for
from annotator.common.masks import rle_to_wire
from annotator.common.shell import REVIEWER, desk_urls, page, project_page, refusals_told, whole_number
from annotator.models import Project

from .bulk_approval import reviews_approve
from .bulk_candidates import BULK_PAGE, answers_for_bulk, bulk_looked_at
from .reviews_page import reviews_page

MOST_LEFT_OUT = 500


@require_http_methods(["GET", "HEAD", "POST"])
@project_page(REVIEWER)
def bulk(request: HttpRequest, project: Project) -> HttpResponse:
    """Bulk approval; POST approves what is selected and shows the next."""
    if request.method == "POST":
        return _approve(request, project)
    after, left_out = whole_number(request.GET.get("after")), _left_out(request, project)
    rows, more = answers_for_bulk(project=project, user=request.user, after=after, without=left_out)
    masks = [[rle_to_wire(one["mask"]) for one in row.instances] for row in rows]
    context = {
        "rows": rows,
        "more": more,
        "masks": masks,
        "is_on": project.bulk_look_share < 1,
        "looked": bulk_looked_at(project=project),
    }
    return page(request, "review/bulk_approval.html", context, project=project)


def _left_out(request: HttpRequest, project: Project) -> list[int]:
    """What this person has left out of bulk approval: shown again it would be selected, and the next press approve
    it."""
    return request.session.get(f"left_out_{project.pk}", [])


def _numbers(request: HttpRequest, name: str) -> list[int]:
    return [pk for text in request.POST.getlist(name) if (pk := whole_number(text)) is not None]


def _approve(request: HttpRequest, project: Project) -> HttpResponse:
    chosen = _numbers(request, "answer")
    left_out = [*_left_out(request, project), *(pk for pk in _numbers(request, "shown") if pk not in chosen)]
    request.session[f"left_out_{project.pk}"] = left_out[-MOST_LEFT_OUT:]
    with refusals_told(request):
        outcomes = reviews_approve(project=project, reviewer=request.user, annotations=chosen)
        approved = sum(one.approved for one in outcomes)
        messages.success(request, f"{approved} approved." if approved else "None was approved.")
        for sentence in dict.fromkeys(one.message for one in outcomes if not one.approved):
            count = sum(one.message == sentence for one in outcomes)
            messages.warning(request, f"{count} skipped. {sentence}")
    return redirect("reviews-certain", project.slug)


@require_safe
@project_page(REVIEWER)
def bulk_button(request: HttpRequest, project: Project) -> HttpResponse:
    """Apart from the list, because it compares masks: the way to bulk approval, if there is anything for it."""
    rows, _ = answers_for_bulk(project=project, user=request.user, without=_left_out(request, project))
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
