"""The bond to Label Studio over the API: send what is settled there."""

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, project_for
from annotator.common.api.bodies import answers, checked
from annotator.jobs.serializers import Job

from .push import push_start
from .serializers import Push


@extend_schema(request=Push, responses=answers(202, Job))
@api_view(["POST"])
def pushes(request: Request, slug: str) -> Response:
    """Send what is settled, now or in a snapshot, to a project in Label Studio; each image's task once."""
    project = project_for(request.user, slug, ADMIN)
    job = push_start(project=project, user=request.user, **checked(request, Push))
    return Response(Job(job).data, status=status.HTTP_202_ACCEPTED)
