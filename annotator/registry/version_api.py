"""The registry over the API: versions, what they learnt from, and which learnt from an answer."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from annotator.common.access import ADMIN, REVIEWER, annotation_to_review, project_for
from annotator.common.api.bodies import answers, checked
from annotator.common.errors import RoostError
from annotator.common.shell import whole_number
from annotator.data.learnt import answers_learnt, people_of, reviewers_of, versions_of_answer
from annotator.models import ModelVersion

from .version_facts import run_of_version, version_of, version_plain, versions_plain, versions_shown
from .version_keeping import version_archive, version_note
from .version_serializers import Learnt, Reader, RegistryVersion, VersionChange

PAGE = 500
ASKED = [
    OpenApiParameter("search", str, description="Words in name, notes, and name or tag of the data; or a hash's begin"),
    OpenApiParameter("stage", str, enum=ModelVersion.Stage.values),
    OpenApiParameter("archived", OpenApiTypes.BOOL, description="Those that are folded away, in place of the others"),
]


@extend_schema(parameters=ASKED, responses=answers(200, RegistryVersion(many=True)))
@api_view(["GET"])
def models(request: Request, slug: str) -> Response:
    """Every version that this project can ask for, newest first; at most 500."""
    project = project_for(request.user, slug)
    asked = request.query_params
    stage = asked.get("stage", "")
    if stage and stage not in ModelVersion.Stage.values:
        raise RoostError(f"There is no stage {stage!r}: {', '.join(ModelVersion.Stage.values)}.")
    archived = asked.get("archived", "").lower() in ("1", "true")
    rows = versions_shown(project=project, search=asked.get("search", ""), stage=stage, archived=archived)
    return Response(RegistryVersion(versions_plain(project=project, versions=rows[:PAGE]), many=True).data)


@extend_schema(methods=["GET"], request=None, responses=answers(200, RegistryVersion))
@extend_schema(methods=["PATCH"], request=VersionChange, responses=answers(200, RegistryVersion))
@api_view(["GET", "PATCH"])
def model(request: Request, slug: str, name: str) -> Response:
    """One version; PATCH writes its notes, folds it away or brings it back."""
    if request.method == "GET":
        project = project_for(request.user, slug)
        version = version_of(project=project, name=name)
        return Response(RegistryVersion(version_plain(project=project, version=version)).data)
    project = project_for(request.user, slug, ADMIN)
    version, change = version_of(project=project, name=name), checked(request, VersionChange)
    if "notes" in change:
        version_note(project=project, version=version, user=request.user, notes=change["notes"])
    if "archived" in change:
        version_archive(project=project, version=version, user=request.user, archived=change["archived"])
    return Response(RegistryVersion(version_plain(project=project, version=version)).data)


@extend_schema(
    parameters=[OpenApiParameter("after", int, description="`next` of the page before")],
    responses=answers(200, Learnt),
)
@api_view(["GET"])
def learnt(request: Request, slug: str, name: str) -> Response:
    """What a version learnt from: people and pairs. For reviewers, since it says who answered what."""
    version = version_of(project=project_for(request.user, slug, REVIEWER), name=name)
    run = run_of_version(version)
    if run is None:
        raise RoostError(f"{name} was not trained here.", code="no_run", http_status=404)
    rows = answers_learnt(version=version, after=whole_number(request.query_params.get("after")) or 0, most=PAGE)
    told = {
        "indexed": run.snapshot.is_indexed,
        "people": people_of(snapshot=run.snapshot),
        "reviewers": reviewers_of(snapshot=run.snapshot),
        "rows": rows,
        "next": rows[-1]["pair"] if len(rows) == PAGE else None,
    }
    return Response(Learnt(told).data)


@extend_schema(responses=answers(200, Reader(many=True)))
@api_view(["GET"])
def readers(request: Request, annotation_id: int) -> Response:
    """Which models learnt from this answer, were chosen or judged by it; for reviewers."""
    answer = annotation_to_review(request.user, annotation_id)
    return Response(Reader(versions_of_answer(answer=answer), many=True).data)
