"""How a trained model gets to its place among the models."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from toolbox.files import folder_written_whole, make_folder
from toolbox.weights import weights_files

from .model_weights import promised_hash


@contextmanager
def weights_lock() -> Iterator[None]:
    """Whoever brings a version's weights back, or takes them away, holds this over files and row together.

    No lock of the database: a large model may be copied meanwhile, and nothing else should wait for that.
    """
    make_folder(settings.VAR_DIR)
    with (settings.VAR_DIR / "weights.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def model_folder_register(*, name: str, source: Path) -> Path:
    """Copy a trained model to its place under its version's name: wholly or not at all. A second time is no harm."""
    target = settings.MODELS_DIR / name
    if target.exists() and weights_files(target) and _same_weights(target, source):
        return target
    # What lies there under this name has no row (it is of a deleted database, or of a crash): the new one replaces it.
    with folder_written_whole(target, replace=True, alone=True) as beside:
        shutil.copytree(source, beside, dirs_exist_ok=True, copy_function=_link_or_copy)
    return target


def _link_or_copy(source: str, target: str) -> str:
    """A model's files are never written again, so that two names may share one: a large one is not kept twice."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
    return target


def _same_weights(one: Path, other: Path) -> bool:
    """As their manifests have it; where one has none nobody knows, which is no yes."""
    found = promised_hash(one)
    return bool(found) and found == promised_hash(other)
