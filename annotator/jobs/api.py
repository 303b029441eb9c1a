"""Jobs: how far they are, and stopping them."""

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import job_for
from annotator.common.api.bodies import answers
from annotator.models import Membership

from .serializers import Job
from .services import job_cancel


@extend_schema(responses=answers(200, Job))
@api_view(["GET"])
def job(request: Request, job_id: int) -> Response:
    """One job."""
    return Response(Job(job_for(request.user, job_id)).data)


@extend_schema(request=None, responses=answers(200, Job))
@api_view(["POST"])
def cancel(request: Request, job_id: int) -> Response:
    """Ask the job to stop; a waiting one ends at once."""
    running = job_for(request.user, job_id, Membership.Role.ADMIN)
    return Response(Job(job_cancel(job=running, user=request.user)).data)
