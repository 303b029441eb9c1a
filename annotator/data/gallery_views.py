"""The gallery's hands: act on selected images, look at what was done and take it back, the trash."""

from datetime import datetime, timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotator.common.access import Person
from annotator.common.shell import ADMIN, REVIEWER, page, project_page, refusals_told, whole_number
from annotator.models import BulkAction, Job, Project

from .bulk_actions import bulk_act, bulk_undo, skipped_told, words_of
from .image_filter import filter_parsed
from .trash import KEPT, trash_page, trash_restore

CHANGES = 50
# So long the images' page offers to take the last change back; the list of changes does at any time.
OFFERED = timedelta(minutes=15)


@require_POST
@project_page(REVIEWER)
def act(request: HttpRequest, project: Project) -> HttpResponse:
    """Do it, then back to the list, or to the job's page."""
    form = request.POST
    with refusals_told(request):
        done = bulk_act(
            project=project,
            user=request.user,
            kind=form.get("do", ""),
            seen_at=_seen_at(form.get("seen_at", "")),
            sha256s=form.getlist("image"),
            wanted=filter_parsed(QueryDict(form.get("filter", ""))) if form.get("everything") else None,
            concept=whole_number(form.get("concept")),
            split=form.get("split", ""),
        )
        if isinstance(done, Job):
            messages.success(request, "These are many, so it is done in the background.")
            return redirect("job", project.slug, done.pk)
    return _back(project, form)


def _back(project: Project, form: QueryDict) -> HttpResponse:
    kept, opened = form.get("page", ""), form.get("opened", "")
    address = (
        reverse("image", args=[project.slug, opened]) if opened.isalnum() else reverse("images", args=[project.slug])
    )
    return redirect(f"{address}?{QueryDict(kept).urlencode()}" if kept else address)


def _seen_at(text: str) -> datetime:
    """When the page was made; a form that does not say counts as of now, for it can only be the newest."""
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    return moment if moment and timezone.is_aware(moment) else timezone.now()


def last_change(*, project: Project, user: Person) -> BulkAction | None:
    """What this person has just done, with `.words` and `.left_alone`, if it can be taken back still."""
    action = project.bulk_actions.filter(user_id=user.pk).order_by("-id").first()
    if action is None or action.undone_at or action.created_at < timezone.now() - OFFERED:
        return None
    return _told(action)


def _told(action: BulkAction) -> BulkAction:
    action.words, action.left_alone = words_of(action), skipped_told(action)
    return action


@require_safe
@project_page(REVIEWER)
def changes(request: HttpRequest, project: Project) -> HttpResponse:
    before = whole_number(request.GET.get("before"))
    rows = project.bulk_actions.select_related("user", "undone_by", "job").defer("inverse").order_by("-id")
    rows = rows.filter(pk__lt=before) if before else rows
    found = [_told(row) for row in rows[: CHANGES + 1]]
    more = found[CHANGES - 1].pk if len(found) > CHANGES else None
    return page(request, "data/changes.html", {"changes": found[:CHANGES], "more": more}, project=project)


@require_POST
@project_page(REVIEWER)
def undo(request: HttpRequest, project: Project, change_id: int) -> HttpResponse:
    action = project.bulk_actions.select_related("project", "job").filter(pk=change_id).first()
    if action is None:
        raise Http404
    with refusals_told(request):
        undone = bulk_undo(action=action, user=request.user)
        if isinstance(undone, Job):
            return redirect("job", project.slug, undone.pk)
        left = f"; {undone[1]:,} stay as somebody's later work made them" if undone[1] else ""
        messages.success(request, f"Taken back: {undone[0]:,}{left}.")
    return _back(project, request.POST) if request.POST.get("page") is not None else redirect("changes", project.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@project_page(ADMIN)
def trash(request: HttpRequest, project: Project) -> HttpResponse:
    """GET shows what is in it; POST brings back what is selected."""
    if request.method == "POST":
        ids = [pk for text in request.POST.getlist("image") if (pk := whole_number(text))]
        count = trash_restore(project=project, user=request.user, images=ids)
        messages.success(request, f"Brought back: {count:,}." if count else "Nothing was selected.")
        return redirect("trash", project.slug)
    rows, more = trash_page(project=project, before=whole_number(request.GET.get("before")))
    return page(request, "data/trash.html", {"images": rows, "more": more, "days": KEPT.days}, project=project)
