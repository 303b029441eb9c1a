"""The page of frames that take over a settled answer, and the way to it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from annotator.common.picture_grid import Card, grid_context, left_out, left_out_add, outcomes_tell, seconds_looked
from annotator.common.shell import page, project_page, refusals_told, whole_number
from annotator.models import Project
from annotator.models.annotations import Verdict

from ..candidates import PRESENCE_SCORE
from .alike import ALIKE_BITS, ALIKE_COSINE, SAME_BOX_IOU
from .confirming import Shown, frames_confirm
from .offered import Frame, frames_offered

RULE = {"cosine": ALIKE_COSINE, "bits": ALIKE_BITS, "presence": PRESENCE_SCORE, "overlap": SAME_BOX_IOU}


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def frames(request: HttpRequest, project: Project) -> HttpResponse:
    """The grid; POST confirms what is selected and shows the next."""
    if request.method == "POST":
        return _confirm(request, project)
    after, without = whole_number(request.GET.get("after")), left_out(request, _key(project))
    found, more = frames_offered(project=project, user=request.user, after=after, without=without)
    context = {**grid_context([_card(frame, project) for frame in found]), "more": more, **RULE}
    return page(request, "queue/frames.html", context, project=project)


@require_safe
@project_page()
def link(request: HttpRequest, project: Project) -> HttpResponse:
    """Apart from the queue's page, because it compares frames."""
    found, more = frames_offered(project=project, user=request.user, without=left_out(request, _key(project)))
    context = {"project": project, "count": len(found), "is_more": more is not None}
    return render(request, "queue/frames_link.html", context)


def _card(frame: Frame, project: Project) -> Card:
    image, settled = frame.pair.image, frame.settled.image.original_name
    value = f"{frame.prediction.pk} {frame.verdict}"
    address = reverse("image", args=[project.slug, image.sha256])
    if frame.task:
        address = reverse("desk-task", args=[project.slug, frame.task.pk])
    return Card(value, image, frame.pair.concept, frame.instances, f"like {settled}", address)


def _key(project: Project) -> str:
    """Under which the session keeps what was left out."""
    return f"frames_left_out_{project.pk}"


def _shown(request: HttpRequest, name: str) -> list[Shown]:
    """«12 absent»: the prediction and the verdict; what is neither is none of ours."""
    found = []
    for text in request.POST.getlist(name):
        number, _, verdict = text.partition(" ")
        prediction = whole_number(number)
        if prediction is not None and verdict in Verdict.values:
            found.append(Shown(prediction, verdict))
    return found


def _confirm(request: HttpRequest, project: Project) -> HttpResponse:
    chosen = _shown(request, "answer")
    shown = [one.prediction for one in _shown(request, "shown")]
    left_out_add(request, _key(project), shown=shown, chosen=[one.prediction for one in chosen])
    seconds = seconds_looked(request)
    with refusals_told(request):
        outcomes = frames_confirm(project=project, user=request.user, frames=chosen, active_seconds=seconds)
        outcomes_tell(request, done=sum(one.confirmed for one in outcomes), verb="confirmed", outcomes=outcomes)
    return redirect("frames", project.slug)
