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
from annotator.models import ModelVersion
from toolbox.files import make_folder

from .model_weights import model_folder
from .version_facts import version_figures, version_lineage, version_serves

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
def registry_mirror() -> None:
    """Tell MLflow what has changed. Off unless ROOST_MLFLOW_REGISTRY is 1."""
    changed = _changed() if settings.MLFLOW_REGISTRY else []
    if not changed:
        return
    try:
        client = _client()
        for version, tags, print_ in changed:
            _tell(client, version, tags)
            ModelVersion.objects.filter(pk=version.pk).update(mirrored=print_)
    except Exception as error:  # its client raises what its database, its server or its absence make of it
        log.warning("MLflow's registry was not told of every version; the next look tries again: %s", error)
    else:
        log.info("MLflow's registry was told of %d versions", len(changed))


def _changed() -> list[tuple[ModelVersion, dict[str, str], str]]:
    """Versions with their tags and the fingerprint of these, where it is another than was told."""
    rows = ModelVersion.objects.filter(project__isnull=False).prefetch_related("children")
    rows = rows.select_related("project", "parent", "training_run__snapshot")
    rows = rows.defer("training_run__series", "training_run__samples")  # may be large
    told = [(row, tags, _fingerprint(tags)) for row in rows for tags in [_tags(row)]]
    return [(row, tags, print_) for row, tags, print_ in told if print_ != row.mirrored]


def _fingerprint(tags: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(tags, sort_keys=True).encode()).hexdigest()


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
        "roost.serves": version_serves(project=version.project, version=version),
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


def _client() -> Any:
    for name, value in IMPATIENCE.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient  # seconds to import, and an extra: only where it is wanted

    uri = settings.MLFLOW_URI
    if not uri:
        make_folder(settings.RUNS_DIR / "tracking")
        uri = f"sqlite:///{settings.RUNS_DIR / 'tracking' / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _tell(client: Any, version: ModelVersion, tags: dict[str, str]) -> None:
    assert version.project is not None
    model = version.project.slug
    found = _number(client, model, version.name)
    if found is None:
        found = client.create_model_version(model, source=_source(version), tags=tags).version
    else:
        for key, text in tags.items():
            client.set_model_version_tag(model, found, key, text)
    client.update_model_version(model, found, description=version.notes)
    if version_serves(project=version.project, version=version):
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
