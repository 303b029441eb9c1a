"""What a person does with an import: go ahead after a look, undo it, fetch the list of its problems."""

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from annotator.common.errors import RoostError
from annotator.common.shell import ADMIN, project_page, refusals_told
from annotator.jobs.views import project_job
from annotator.models import Job, Project

from .box_drawing import boxes_draw_start
from .import_look import samples_folder
from .import_report import problems_path
from .import_undo import import_undo_start
from .imports import import_after_look

NEW, LEAVE_OUT, UNDECIDED = "+", "-", ""


@require_POST
@project_page(ADMIN)
def go_ahead(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    """Import what was looked at. `class-N` of the form: a concept's name, «+» for a new one, «-» to leave it out.

    `offer-N` is ticked where a person vouches for negatives that a name only hints at, `offer-N-of`: of which concept.
    """
    looked = _import(request, project, job_id)
    rows = looked.report.get("classes", [])
    answers = [(row["name"], request.POST.get(f"class-{number}", UNDECIDED)) for number, row in enumerate(rows)]
    classes = {name: name if answer == NEW else answer for name, answer in answers if answer != UNDECIDED}
    classes = {name: "" if answer == LEAVE_OUT else answer for name, answer in classes.items()}
    with refusals_told(request):
        negatives = _vouched(request, looked, classes)
        job = import_after_look(looked=looked, user=request.user, classes=classes, negatives=negatives)
        messages.success(request, "The import runs in the background.")
        return redirect("job", project.slug, job.pk)
    return redirect("job", project.slug, looked.pk)


def _vouched(request: HttpRequest, looked: Job, classes: dict[str, str]) -> dict[str, list[str]]:
    """{folder or list: concepts}; one that is new is added to `classes`, so that it is made."""
    found: dict[str, list[str]] = {}
    for number, row in enumerate(looked.report.get("offers", [])):
        if f"offer-{number}" not in request.POST:
            continue
        concept = request.POST.get(f"offer-{number}-of", UNDECIDED)
        if concept == NEW:
            concept = row["name"]
            classes[concept] = concept
        if not concept and not row["concepts"]:
            raise RoostError(f"Say of which concept {row['where']} holds verified negatives.")
        found[row["where"]] = [concept] if concept else []
    return found


@require_POST
@project_page(ADMIN)
def undo(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    imported = _import(request, project, job_id)
    with refusals_told(request):
        job = import_undo_start(job=imported, user=request.user)
        messages.success(request, "The import is being undone.")
        return redirect("job", project.slug, job.pk)
    return redirect("job", project.slug, imported.pk)


@require_POST
@project_page(ADMIN)
def draw_boxes(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    """Have the model draw masks in this import's boxes: those that came as sketches, or have none yet."""
    imported = _import(request, project, job_id)
    with refusals_told(request):
        job = boxes_draw_start(project=project, user=request.user, imported=imported)
        messages.success(request, "The model draws masks in the boxes.")
        return redirect("job", project.slug, job.pk)
    return redirect("job", project.slug, imported.pk)


@require_safe
@project_page(ADMIN)
def problems(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    """All of them as text: the file, a tab, why."""
    path = problems_path(_import(request, project, job_id))
    if not path.is_file():
        raise Http404
    name = f"{project.slug}-import-{job_id}.txt"
    return FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type="text/plain; charset=utf-8")


@require_safe
@project_page(ADMIN)
def sample(request: HttpRequest, project: Project, job_id: int, number: int) -> HttpResponse:
    path = samples_folder(_import(request, project, job_id)) / f"{number}.webp"
    if not path.is_file():
        raise Http404
    return FileResponse(path.open("rb"), content_type="image/webp")


def _import(request: HttpRequest, project: Project, job_id: int) -> Job:
    job = project_job(request, project, job_id)
    if job.kind != Job.Kind.IMPORT:
        raise Http404
    return job
