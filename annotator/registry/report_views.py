"""The report of an evaluation: a page of its own, and its files."""

from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotator.common.access import has_role
from annotator.common.shell import REVIEWER, page, project_page, whole_number
from annotator.models import Evaluation, Project

from .evaluation_page import evaluation_of
from .report_files import KINDS, report_file, report_files, report_read, report_refusal
from .report_making import role_of
from .report_page import charts_by_part, figure_table, gallery_of, group_tables, reports_beside


@require_safe
@project_page()
def report(request: HttpRequest, project: Project, evaluation_id: int) -> HttpResponse:
    """Figures for all members; pictures and files for reviewers, who are asked for no blind answer."""
    evaluation = _evaluation(project, evaluation_id)
    shown = report_read(evaluation)
    context = {"evaluation": evaluation, "role_here": role_of(evaluation), "report": shown}
    if shown is None:
        context["refusal"] = report_refusal(evaluation)
        return page(request, "registry/report.html", context, project=project)
    beside = reports_beside(evaluation)
    context |= {
        "beside": beside,
        "figures": figure_table([shown, *(one.report for one in beside)]),
        "groups": group_tables(shown),
        "parts": charts_by_part(shown),
        "at_tables": [("Images, from a score on", shown["at"]), ("Objects at IoU 0.5", shown["objects_at"])],
    }
    if has_role(user=request.user, project=project, role=REVIEWER):
        start, kind = whole_number(request.GET.get("from")) or 0, request.GET.get("kind", "")
        context["gallery"] = gallery_of(report=shown, project=project, user=request.user, kind=kind, start=start)
        context["files"] = report_files(evaluation, shown)
    return page(request, "registry/report.html", context, project=project)


@require_safe
@project_page(REVIEWER)
def report_download(request: HttpRequest, project: Project, evaluation_id: int, file: str) -> FileResponse:
    """Always as a download: the page in the file has styles of its own, which the pages' policy forbids here."""
    evaluation = _evaluation(project, evaluation_id)
    told = report_read(evaluation)
    path = report_file(evaluation, file, told) if told is not None else None
    if path is None:
        raise Http404
    name = f"{project.slug}-{evaluation.version.name}-evaluation-{evaluation_id}-{file}"
    return FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type=KINDS[path.suffix])


def _evaluation(project: Project, evaluation_id: int) -> Evaluation:
    row = evaluation_of(project=project, evaluation_id=evaluation_id)
    if row is None:
        raise Http404
    return row
