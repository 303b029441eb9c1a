"""`$ROOST_VAR/aliases.json`: `project-<slug>` stands for what that project serves; Label Studio is connected to it."""

import fcntl
import json
import logging
from pathlib import Path

from django.conf import settings
from django.db import transaction

from annotator.models import Project
from toolbox.files import write_json

log = logging.getLogger(__name__)
PREFIX = "project-"


def serving_alias(*, project: Project) -> str:
    """The word after `/ls/` that follows the project's promotions."""
    return PREFIX + project.slug


def aliases_by_hand() -> dict[str, str] | None:
    """{alias: version} that people wrote there; None where the file is not to be understood."""
    try:
        return _by_hand(_file())
    except (OSError, ValueError):
        return None


def serving_aliases_refresh() -> None:
    """Write the file once the transaction is over. A file that can't be written leaves Label Studio with the version
    before, and is no reason to take a promotion back."""
    transaction.on_commit(_write)


def _write() -> None:
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of two promotions at once, the later writer has read both
            write_json(path, _by_hand(path) | _ours(), indent=1, alone=True)
    except (OSError, ValueError):
        log.exception("%s was not written: Label Studio goes on with the versions named there", path)


def _file() -> Path:
    return settings.VAR_DIR / "aliases.json"


def _ours() -> dict[str, str]:
    rows = Project.objects.select_related("serving_version").order_by("slug")
    return {serving_alias(project=project): project.serving_version.name for project in rows}


def _by_hand(path: Path) -> dict[str, str]:
    """ValueError where it is not to be understood."""
    if not path.exists():
        return {}
    table = json.loads(path.read_text())
    if not isinstance(table, dict):
        raise ValueError("it holds no table of names")
    return {alias: version for alias, version in table.items() if not alias.startswith(PREFIX)}
