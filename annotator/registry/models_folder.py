"""Where a model version's weights lie, and how a trained one gets there."""

import json
import shutil
from pathlib import Path

from django.conf import settings

from annotator.common.errors import RoostError
from annotator.models import ModelVersion
from toolbox.files import folder_written_whole

DEMO_VERSION, BASE_VERSION = "demo", "sam3"


def model_folder(version: ModelVersion) -> Path:
    """The folder in the hub's layout; RoostError when the weights are not on this machine."""
    folder = _folder(version.name)
    if not (folder / "config.json").is_file():
        words = f"The weights of {version.name} are not on this machine: {folder.name}/config.json is missing."
        if version.name == BASE_VERSION:
            words += " To train from SAM 3, set ROOST_BASE_MODEL to a local folder that holds it."
        raise RoostError(words, code="absent_weights")
    return folder


def _folder(name: str) -> Path:
    """As the ML backend resolves names; a hub id in ROOST_BASE_MODEL is no folder that the trainer could read."""
    if name == DEMO_VERSION and (settings.SHIPPED_MODEL_DIR / "config.json").is_file():
        return settings.SHIPPED_MODEL_DIR
    if name == BASE_VERSION and settings.BASE_MODEL:
        return Path(settings.BASE_MODEL)
    return settings.MODELS_DIR / name


def model_folder_register(*, name: str, source: Path) -> Path:
    """Copy a trained model to its place under its version's name: wholly or not at all. A second time is no harm."""
    target = settings.MODELS_DIR / name
    if target.exists() and _weights_hash(target) == _weights_hash(source):
        return target
    # What lies there under this name has no row (it is of a deleted database, or of a crash): the new one replaces it.
    with folder_written_whole(target, replace=True, alone=True) as beside:
        shutil.copytree(source, beside, dirs_exist_ok=True)
    return target


def _weights_hash(folder: Path) -> str | None:
    """From the folder's manifest; None when it has none, which equals nothing."""
    path = folder / "manifest.json"
    return json.loads(path.read_text()).get("weights_hash") if path.is_file() else None
