"""The page of the splits: how they lie, scenes that cross, and what mends them."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from annotator.common.access import ADMIN
from annotator.common.forms import PlainForm
from annotator.common.shell import errors_told, page, project_page, refusals_told
from annotator.jobs.selectors import newest_job
from annotator.models import Job, Project

from .hard_negatives import MOST, hard_negatives_hold, hard_negatives_state
from .scenes_job import scenes_start
from .split_moves import scenes_crossing, splits_mend
from .split_shares import scene_counts, split_shares, splits_reassign
from .splits import OFFERED
from .splits_page import IMAGES_SHOWN, crossings_page


class MendForm(PlainForm):
    scene = forms.RegexField(r"^[0-9a-f]{64}$", required=False)
    force = forms.BooleanField(required=False, label="Those too that training or the gate has read")


class SharesForm(PlainForm):
    shares = forms.ChoiceField(
        choices=[(name, f"{name} (train/val{'/test' if one.test else ''})") for name, one in OFFERED.items()]
    )


class HardNegativesForm(PlainForm):
    count = forms.IntegerField(label="Images", min_value=1, max_value=MOST, initial=50)


@require_safe
@project_page()
def splits(request: HttpRequest, project: Project) -> HttpResponse:
    crossings, more = crossings_page(project=project, after=request.GET.get("after", "")[:64].replace("\x00", ""))
    job = newest_job(project=project, kind=Job.Kind.SCENES)
    rows = split_shares(project=project)
    context: dict[str, Any] = {
        "rows": rows,
        "any_image": bool(rows[0].total),
        "scenes": scene_counts(project=project),
        "crossing": scenes_crossing(project=project).count(),
        "crossings": crossings,
        "images_shown": IMAGES_SHOWN,
        "more": more,
        "mend_form": MendForm(),
        "shares_form": SharesForm(),
        "hard_form": HardNegativesForm(),
        "hard": hard_negatives_state(project=project),
        "job": job,
        "looking": job is not None and job.state in Job.IN_FLIGHT,
    }
    return page(request, "data/splits.html", context, project=project)


@require_POST
@project_page(ADMIN)
def find(request: HttpRequest, project: Project) -> HttpResponse:
    with refusals_told(request):
        scenes_start(project=project, user=request.user)
        messages.success(request, "The images are being compared.")
    return redirect("splits", project.slug)


@require_POST
@project_page(ADMIN)
def mend(request: HttpRequest, project: Project) -> HttpResponse:
    """All scenes that cross, or the one named."""
    form = MendForm(request.POST)
    if form.is_valid():
        one, force = form.cleaned_data["scene"], form.cleaned_data["force"]
        done = splits_mend(project=project, user=request.user, scenes=[one] if one else [], force=force)
        messages.success(request, f"{done.scenes} scenes lie in one split now; {done.images} images moved for that.")
        if done.left:
            messages.warning(
                request, f"{done.left} stay as they are: training or the gate has read them. Tick the box to move them."
            )
    errors_told(request, form)
    return redirect("splits", project.slug)


@require_POST
@project_page(ADMIN)
def reassign(request: HttpRequest, project: Project) -> HttpResponse:
    form = SharesForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            done = splits_reassign(project=project, user=request.user, shares=OFFERED[form.cleaned_data["shares"]])
            words = (
                f"{done.moved} images moved. {done.kept} stayed: the holdout, and what training or the gate has read."
            )
            messages.success(request, words)
    errors_told(request, form)
    return redirect("splits", project.slug)


@require_POST
@project_page(ADMIN)
def hold_hard_negatives(request: HttpRequest, project: Project) -> HttpResponse:
    form = HardNegativesForm(request.POST)
    if form.is_valid():
        with refusals_told(request):
            done = hard_negatives_hold(project=project, user=request.user, count=form.cleaned_data["count"])
            messages.success(request, f"{done.images} images with verified negatives are in the holdout now.")
    errors_told(request, form)
    return redirect("splits", project.slug)
