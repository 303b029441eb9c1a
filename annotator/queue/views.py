"""The queue: what waits and why, and how sure the model is."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotator.common.access import has_role, members_active
from annotator.common.forms import fraction_in
from annotator.common.project_settings import project_settings_update
from annotator.common.shell import ADMIN, desk_urls, errors_told, page, project_page, refusals_told, whole_number
from annotator.jobs.selectors import newest_job
from annotator.models import Job, Project
from annotator.registry.models_page import untaught_concepts

from .candidates import challenger_of
from .forms import BandForm, HoldoutForm
from .holdout import holdout_queue
from .incomplete import incomplete_queue, pairs_incomplete
from .mining import mining_start
from .model_errors import band_truth, production_error, suspected_labels
from .queue_page import (
    BINS_A_BAR,
    STATES,
    QueueFilter,
    parse_cursor,
    presence_histogram,
    queue_ahead,
    queue_page,
    reason_counts,
    room_for_doubt,
)
from .selectors import reasons_shown
from .suspected_labels import suspected_labels_queue

STATE_WORDS = [
    ("queued", "Waiting"),
    ("claimed", "In hand"),
    ("submitted", "To review"),
    ("returned", "Sent back"),
    ("approved", "Approved"),
]


@require_safe
@project_page()
def queue(request: HttpRequest, project: Project) -> HttpResponse:
    wanted = _filter(request)
    job = newest_job(project=project, kind=Job.Kind.MINE)
    context = {
        "wanted": wanted,
        "reasons": reason_counts(project=project),
        "found": queue_page(project=project, wanted=wanted),
        "ahead": queue_ahead(project=project),
        "states": STATE_WORDS,
        "concepts": project.concepts.all(),
        "job": job,
        "queued_by_job": sum(job.report.get("queued", {}).values()) if job else 0,
        "mining": job is not None and job.state in Job.IN_FLIGHT,
        "challenger": challenger_of(project=project, version=project.serving_version),
        "members": members_active(project=project),
        "untaught": untaught_concepts(project=project),
    }
    return page(request, "queue/queue.html", context, project=project)


@require_safe
@project_page()
def histogram(request: HttpRequest, project: Project) -> HttpResponse:
    """Apart from the page, because it reads every score: the page stands while a large project is counted."""
    found = presence_histogram(project=project)
    band = {"low": project.presence_low, "high": project.presence_high}
    chart = {"counts": found.counts, "bar": BINS_A_BAR, "room": room_for_doubt(project=project), **band}
    is_admin = has_role(user=request.user, project=project, role=ADMIN)
    context = {"project": project, "histogram": found, "chart": chart, "is_admin": is_admin}
    return render(request, "queue/histogram.html", context)


@require_safe
@project_page()
def checks(request: HttpRequest, project: Project) -> HttpResponse:
    """Apart from the page like the histogram, because it reads what the model says about every settled pair."""
    context = {
        "project": project,
        "error": production_error(project=project),
        "band": band_truth(project=project),
        "suspected": suspected_labels(project=project).count(),
        "incomplete": pairs_incomplete(project=project).count(),
        "is_admin": has_role(user=request.user, project=project, role=ADMIN),
    }
    return render(request, "queue/model_errors.html", context)


def _filter(request: HttpRequest) -> QueueFilter:
    """What the address asks for; unknown values fall back to «everything that waits»."""
    asked = request.GET
    state, reason = asked.get("state", ""), asked.get("lane", "")
    return QueueFilter(
        state=state if state in STATES else "queued",
        reason=reason if reason in reasons_shown() else "",
        concept=whole_number(asked.get("concept")),
        person=whole_number(asked.get("person")),
        presence_low=fraction_in(asked.get("presence_low")),
        presence_high=fraction_in(asked.get("presence_high")),
        after=parse_cursor(asked.get("after", "")),
    )


@require_POST
@project_page(ADMIN)
def mine(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        options = {name: name in request.POST for name in ("settled", "challenger")}
        mining_start(project=project, user=request.user, **options)
        messages.success(request, "Mining has begun. The queue fills when it is done.")
    return redirect("queue", project.slug)


@require_POST
@project_page(ADMIN)
def queue_suspected_labels(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        tasks = suspected_labels_queue(project=project, user=request.user)
        messages.success(
            request, f"{len(tasks)} suspected label errors wait in the queue; their truth stays meanwhile."
        )
    return redirect("queue", project.slug)


@require_POST
@project_page(ADMIN)
def queue_incomplete(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        tasks = incomplete_queue(project=project, user=request.user)
        messages.success(request, f"{len(tasks)} pairs wait in the queue to be completed; their truth stays meanwhile.")
    return redirect("queue", project.slug)


@require_POST
@project_page(ADMIN)
def queue_holdout(request: HttpRequest, project: Project) -> HttpResponse:
    form = HoldoutForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            tasks = holdout_queue(project=project, user=request.user, count=form.cleaned_data["count"])
            messages.success(request, f"{len(tasks)} holdout pairs wait in the queue, drawn at random.")
    errors_told(request, form)
    return redirect("training", project.slug)


@require_POST
@project_page(ADMIN)
def set_band(request: HttpRequest, project: Project) -> HttpResponse:
    form = BandForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            project_settings_update(project=project, user=request.user, **form.cleaned_data)
            messages.success(request, "The band is kept; the next mining queues by it.")
    errors_told(request, form)
    return redirect("queue", project.slug)


@require_safe
@project_page()
def desk(request: HttpRequest, project: Project, task_id: int | None = None) -> HttpResponse:
    """The desk; with a task in the address it opens that one, otherwise it claims the most valuable."""
    context = {"task_id": task_id, "urls": desk_urls(project), "reason_words": reasons_shown()}
    return page(request, "queue/desk.html", context, project=project)
