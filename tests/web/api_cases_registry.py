"""Calls about model versions, and the walk from an answer to models and back."""

from annotator.data.snapshots import snapshot_create
from tests import factories
from tests.web.api_case_book import case
from tests.web.api_farm import BARN, V1, Farm, post
from tests.web.test_learning_curve import both, judged, round_of


def learnt(farm: Farm) -> int:
    """A version of a run on one approved answer; the answer."""
    task = farm.submitted()
    annotation = task.annotations.get()
    path = f"{V1}/annotations/{annotation.pk}/review"
    if annotation.task.state == "submitted":
        assert post(farm.reviewer, path, {"decision": "approve"}).status_code == 200
    snapshot = snapshot_create(project=farm.project, user=farm.barn.admin)
    version = factories.make_version("barn-v1", project=farm.project)
    factories.make_training_run(farm.project, snapshot=snapshot, version=version)
    return annotation.pk


@case("GET /projects/{slug}/models")
def models(farm):
    learnt(farm)
    yield farm.annotator.get(f"{BARN}/models")
    yield farm.annotator.get(f"{BARN}/models", {"stage": "candidate", "search": "barn", "archived": "false"})
    yield farm.annotator.get(f"{BARN}/models", {"stage": "no such"})
    yield farm.outsider.get(f"{BARN}/models")


@case("GET /projects/{slug}/curve")
def curve(farm):
    """A point of everything: as shipped, promoted, with what it learnt, and a forecast."""
    rows = [both("a", 1, (0, 0), (1, 1)), both("b", 0, (0, 0), (1, 0))]
    yield farm.annotator.get(f"{BARN}/curve")
    judged(farm.barn, farm.project.serving_version, factories.make_snapshot(farm.project), 0.45)
    farm.project.deployments.update(version=farm.project.serving_version)
    for number, cgf1 in ((1, 0.52), (2, 0.57), (3, 0.60)):
        round_of(farm.barn, number, cgf1, rows=rows)
    farm.submitted()
    yield farm.annotator.get(f"{BARN}/curve")
    yield farm.reviewer.get(f"{BARN}/curve", {"target": "0.7"})
    yield farm.reviewer.get(f"{BARN}/curve", {"target": "70"})
    yield farm.outsider.get(f"{BARN}/curve")


@case("GET /projects/{slug}/models/{name}")
def model(farm):
    learnt(farm)
    yield farm.annotator.get(f"{BARN}/models/barn-v1")
    yield farm.annotator.get(f"{BARN}/models/tiny")
    yield farm.annotator.get(f"{BARN}/models/no-such")


@case("PATCH /projects/{slug}/models/{name}")
def model_change(farm):
    learnt(farm)
    for body in ({"notes": "good by night"}, {"archived": True}, {"archived": False}, {"archived": "perhaps"}):
        yield farm.admin.patch(f"{BARN}/models/barn-v1", body, format="json")
    yield farm.admin.patch(f"{BARN}/models/tiny", {"notes": "shared"}, format="json")
    yield farm.annotator.patch(f"{BARN}/models/barn-v1", {"notes": "x"}, format="json")


@case("GET /projects/{slug}/models/{name}/learnt")
def model_learnt(farm):
    learnt(farm)
    yield farm.reviewer.get(f"{BARN}/models/barn-v1/learnt")
    yield farm.reviewer.get(f"{BARN}/models/tiny/learnt")
    yield farm.annotator.get(f"{BARN}/models/barn-v1/learnt")


@case("GET /annotations/{annotation_id}/models")
def readers(farm):
    answer = learnt(farm)
    yield farm.reviewer.get(f"{V1}/annotations/{answer}/models")
    yield farm.annotator.get(f"{V1}/annotations/{answer}/models")
