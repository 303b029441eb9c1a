"""The registry mirrored to MLflow's, where the operator wants it: one way, by a sweep, and never in anybody's way.

A registered model a project, a version of it a version here, its facts as tags; the alias `champion` is what serves.
What was told is remembered by its fingerprint, so that a tracker that was away gets what it missed.
"""

import hashlib
import json
import logging
import os
from typing import Any

from django.conf import settings

from annotator.common.errors import RoostError
from annotator.jobs.kinds import sweep_every
from annotator.models import ModelVersion, Project
from toolbox.files import make_folder

from .model_weights import model_folder
from .version_facts import version_figures, version_lineage

log = logging.getLogger(__name__)
EVERY_SECONDS = 60.0
CHAMPION, NAME_TAG = "champion", "roost.version"
LONGEST_TAG = 4000
# As the trainer's own tracker: a server that is away is told within half a minute.
IMPATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@sweep_every(EVERY_SECONDS, apart=True)  # a server may take its time
def registry_mirror() -> list[int]:
    """Tell MLflow what has changed; how many versions is logged. Off unless ROOST_MLFLOW_REGISTRY is 1."""
    if not settings.MLFLOW_REGISTRY:
        return []
    changed = [(version, print_) for version, print_ in _fingerprints() if print_ != version.mirrored]
    if not changed:
        return []
    try:
        client = _client()
        for version, print_ in changed:
            _tell(client, version)
            ModelVersion.objects.filter(pk=version.pk).update(mirrored=print_)
    except Exception as error:  # its client raises what its database, its server or its absence make of it
        log.warning("MLflow's registry was not told of every version; the next look tries again: %s", error)
    else:
        log.info("MLflow's registry was told of %d versions", len(changed))
    return []


def _fingerprints() -> list[tuple[ModelVersion, str]]:
    rows = ModelVersion.objects.filter(project__isnull=False).select_related("project", "parent")
    return [(row, hashlib.sha256(json.dumps(_tags(row), sort_keys=True).encode()).hexdigest()) for row in rows]


def _tags(version: ModelVersion) -> dict[str, str]:
    """What it says of itself, as texts; what is not known has no tag."""
    assert version.project is not None
    lineage = version_lineage(project=version.project, version=version)
    figures = {
        f"{split}.{name}": f"{v:.6f}" for split, one in version_figures(version).items() for name, v in one.items()
    }
    facts: dict[str, Any] = {
        NAME_TAG: version.name,
        "roost.stage": version.stage,
        "roost.archived": version.archived_at is not None,
        "roost.serves": _serves(version),
        "weights_hash": version.weights_hash,
        "base_weights_hash": lineage.base_hash,
        "parent": lineage.parent,
        "run": lineage.run,
        "snapshot_hash": lineage.snapshot_hash,
        "data_revision": lineage.data_revision,
        "code_revision": lineage.code_revision,
        "packages": json.dumps(lineage.packages) if lineage.packages else None,
        "notes": version.notes,
    }
    told = figures | {key: str(value) for key, value in facts.items() if value not in (None, "")}
    return {key: text[:LONGEST_TAG] for key, text in told.items()}


def _serves(version: ModelVersion) -> bool:
    return Project.objects.filter(pk=version.project_id, serving_version=version).exists()


def _client() -> Any:
    for name, value in IMPATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient  # seconds to import, and an extra: only where it is wanted

    uri = settings.MLFLOW_URI
    if not uri:
        make_folder(settings.RUNS_DIR / "tracking")
        uri = f"sqlite:///{settings.RUNS_DIR / 'tracking' / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _tell(client: Any, version: ModelVersion) -> None:
    assert version.project is not None
    model, tags = version.project.slug, _tags(version)
    found = _number(client, model, version.name)
    if found is None:
        found = client.create_model_version(model, source=_source(version), tags=tags).version
    else:
        for key, text in tags.items():
            client.set_model_version_tag(model, found, key, text)
    client.update_model_version(model, found, description=version.notes)
    if _serves(version):
        client.set_registered_model_alias(model, CHAMPION, found)


def _number(client: Any, model: str, name: str) -> str | None:
    """Its number there; the registered model is made where it is not."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        client.create_registered_model(model)
    rows = client.search_model_versions(f"name = '{model}'")
    return next((row.version for row in rows if row.tags.get(NAME_TAG) == name), None)


def _source(version: ModelVersion) -> str:
    """Where its weights lie, for people: MLflow keeps the place alone."""
    try:
        return model_folder(version).resolve().as_uri()
    except RoostError:
        return (settings.MODELS_DIR / version.name).resolve().as_uri()
