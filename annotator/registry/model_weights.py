"""Which versions a project has, and where a version's weights lie."""

import json
from pathlib import Path

from django.conf import settings
from django.db.models import Q, QuerySet

from annotator.common.errors import RoostError
from annotator.models import ModelVersion, Project

DEMO_VERSION, BASE_VERSION = "demo", "sam3"


def versions_usable(*, project: Project) -> QuerySet[ModelVersion]:
    """The shipped versions and the project's own."""
    return ModelVersion.objects.filter(Q(project=project) | Q(project__isnull=True))


def model_folder(version: ModelVersion) -> Path:
    """The folder in the hub's layout; RoostError when the weights are not on this machine."""
    folder = _folder(version.name)
    if version.weights_removed_at is not None:
        words = f"The weights of {version.name} were removed on {version.weights_removed_at:%d %B %Y} to save space"
        raise RoostError(f"{words}: `manage.py reproduce` makes them again.", code="absent_weights")
    if not (folder / "config.json").is_file():
        words = f"The weights of {version.name} are not on this machine: {folder.name}/config.json is missing."
        if version.name == BASE_VERSION:
            words += " To train from SAM 3, set ROOST_BASE_MODEL to a local folder that holds it."
        raise RoostError(words, code="absent_weights")
    return folder


def promised_hash(folder: Path) -> str:
    """As the folder's manifest, or the shipped model's card, has it; "" where neither tells."""
    for name in ("manifest.json", "card.json"):
        try:
            told = json.loads((folder / name).read_text(encoding="utf-8")).get("weights_hash")
        except (OSError, ValueError, AttributeError):
            continue
        if told:
            return str(told)
    return ""


def _folder(name: str) -> Path:
    """As the ML backend resolves names; a hub id in ROOST_BASE_MODEL is no folder that the trainer could read."""
    if name == DEMO_VERSION and (settings.SHIPPED_MODEL_DIR / "config.json").is_file():
        return settings.SHIPPED_MODEL_DIR
    if name == BASE_VERSION and settings.BASE_MODEL:
        return Path(settings.BASE_MODEL)
    return settings.MODELS_DIR / name
