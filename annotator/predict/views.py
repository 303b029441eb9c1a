"""What a model says of a whole folder or bucket: ask for it, and fetch the answers."""

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from annotator.common.shell import ADMIN, page, project_page, refusals_told
from annotator.data.named_sources import sources_open
from annotator.data.views import go
from annotator.jobs.selectors import newest_job, newest_jobs
from annotator.jobs.views import project_job
from annotator.models import Job, Project
from annotator.registry.models_page import versions_of

from .forms import PredictForm
from .services import predict_start, prediction_file


@require_http_methods(["GET", "HEAD", "POST"])
@project_page()
def predictions(request: HttpRequest, project: Project) -> HttpResponse:
    """GET looks; POST asks and is the admins' alone."""
    if request.method == "POST":
        return ask(request, slug=project.slug)
    return _page(request, project, _form(request, project))


@project_page(ADMIN)
def ask(request: HttpRequest, project: Project) -> HttpResponse:
    form = _form(request, project)
    if form.is_valid():
        data = form.cleaned_data
        options = {name: data[name] for name in ("upload", "concepts", "version", "threshold")}
        with refusals_told(request, form):
            job = predict_start(project=project, user=request.user, source=data["place"], **options)
            messages.success(request, "The model is asked in the background; the file is offered here when it is done.")
            return go(request, "job", project.slug, job.pk)
    return _page(request, project, form, status=400)


@require_safe
@project_page()
def prediction_download(request: HttpRequest, project: Project, job_id: int) -> HttpResponse:
    """The zip of a finished job; gone means: back to the job, which says so."""
    row = project_job(request, project, job_id)
    with refusals_told(request):
        path = prediction_file(job=row)
        return FileResponse(path.open("rb"), as_attachment=True, filename=path.name, content_type="application/zip")
    return redirect("job", project.slug, row.pk)


def _form(request: HttpRequest, project: Project) -> PredictForm:
    sent = (request.POST, request.FILES) if request.method == "POST" else ()
    versions = [row.name for row in versions_of(project=project)]
    return PredictForm(*sent, serving=project.serving_version.name, versions=versions, opened=sources_open())


def _page(request: HttpRequest, project: Project, form: PredictForm, status: int = 200) -> HttpResponse:
    job = newest_job(project=project, kind=Job.Kind.PREDICT)
    context = {
        "form": form,
        "jobs": newest_jobs(project=project, kind=Job.Kind.PREDICT, limit=20),
        "job": job,
        "predicting": job is not None and job.state in Job.IN_FLIGHT,
    }
    return page(request, "predict/predictions.html", context, project=project, status=status)
