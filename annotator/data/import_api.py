"""Imports over the API: of what the server can reach; pictures themselves are posted to `images`."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, job_for, project_for
from annotator.common.api.bodies import answers, checked
from annotator.jobs.serializers import Job

from .box_drawing import boxes_draw_start
from .import_serializers import Boxes, Import
from .import_undo import import_undo_start
from .imports import import_start
from .named_sources import source_allowed


@extend_schema(request=Import, responses=answers(202, Job))
@api_view(["POST"])
def imports(request: Request, slug: str) -> Response:
    """Import a folder, zip or bucket with whatever annotations lie in it; the job's report tells what came of it."""
    project = project_for(request.user, slug, ADMIN)
    wishes = checked(request, Import)
    place = source_allowed(wishes.pop("place"))
    job = import_start(project=project, user=request.user, upload_path=place, named_by_person=True, **wishes)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(request=None, responses=answers(202, Job))
@api_view(["POST"])
def import_undo(request: Request, job_id: int) -> Response:
    """Undo an import, but for what people did since."""
    job = job_for(request.user, job_id)
    project_for(request.user, job.project.slug, ADMIN)
    undoing = import_undo_start(job=job, user=request.user)
    return Response(Job(undoing).data, status=status.HTTP_202_ACCEPTED)


@extend_schema(request=Boxes, responses=answers(202, Job))
@api_view(["POST"])
def boxes(request: Request, slug: str) -> Response:
    """Have the model draw masks in the boxes that an import brought, for people to take or to correct."""
    project = project_for(request.user, slug, ADMIN)
    number = checked(request, Boxes)["job"]
    imported = job_for(request.user, number) if number is not None else None
    job = boxes_draw_start(project=project, user=request.user, imported=imported)
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)
