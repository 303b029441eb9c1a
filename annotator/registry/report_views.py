"""The report of a run's gate: a page of its own, and its files."""

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotator.common.access import has_role
from annotator.common.shell import REVIEWER, page, project_page, whole_number
from annotator.models import Project, TrainingRun

from .report_files import KINDS, ROLES, report_file, report_files, report_folder, report_read, report_refusal
from .report_page import charts_by_part, figure_table, gallery_of, group_tables
from .run_page import run_of


@require_safe
@project_page()
def report(request: HttpRequest, project: Project, number: int) -> HttpResponse:
    """Figures for all members; pictures and files for reviewers, who are asked for no blind answer."""
    run = _run(project, number)
    role = request.GET.get("role", "challenger")
    if role not in ROLES:
        raise Http404
    reports = {name: report_read(report_folder(run, name)) for name in ROLES}
    shown = reports[role]
    there = {name: one for name, one in reports.items() if one is not None}
    is_reviewer = has_role(user=request.user, project=project, role=REVIEWER)
    context = {
        "run": run,
        "role": role,
        "roles": [(name, words, reports[name]) for name, words in ROLES.items()],
        "report": shown,
        "refusal": report_refusal(report_folder(run, role)),
        "models": [(name, one["model"]) for name, one in there.items()],
    }
    if shown is not None:
        context |= {
            "figures": figure_table(list(there.values())),
            "groups": group_tables(shown),
            "parts": charts_by_part(shown),
            "at_tables": [("Images, from a score on", shown["at"]), ("Objects at IoU 0.5", shown["objects_at"])],
            "files": report_files(report_folder(run, role), shown) if is_reviewer else [],
        }
    if shown is not None and is_reviewer:
        start, kind = whole_number(request.GET.get("from")) or 0, request.GET.get("kind", "")
        context["gallery"] = gallery_of(report=shown, project=project, user=request.user, kind=kind, start=start)
    return page(request, "registry/report.html", context, project=project)


@require_safe
@project_page(REVIEWER)
def report_download(request: HttpRequest, project: Project, number: int, role: str, file: str) -> FileResponse:
    """Always as a download: the page in the file has styles of its own, which the pages' policy forbids here."""
    folder = report_folder(_run(project, number), role)
    told = report_read(folder)
    path = report_file(folder, file, told) if folder is not None and told is not None else None
    if path is None:
        raise Http404
    name = f"{project.slug}-run-{number}-{role}-{file}"
    return FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type=KINDS[path.suffix])


def _run(project: Project, number: int) -> TrainingRun:
    run = run_of(project=project, number=number)
    if run is None:
        raise Http404
    return run
