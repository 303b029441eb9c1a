"""The door to the programs `dvc` and `git`: run one in a repository, stop it when the job stops, tell its refusal.

DVC is asked by its command line alone; its Python modules are its own affair. Neither program sees the settings, names
or hooks of whoever runs Roost, so that a data version is made the same way everywhere.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from django.conf import settings

from annotator.common.errors import JobCancelled, RoostError
from toolbox.processes import child_command

LOOK_EVERY_SECONDS = 0.1
KILL_AFTER_SECONDS = 10.0
TOLD_LINES = 6
PERSON = ("-c", "user.name=Roost", "-c", "user.email=roost@localhost", "-c", "commit.gpgsign=false")
MANNERS = ("-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", "-c", "tag.gpgsign=false", "-c", "gc.auto=0")
ABSENT = (
    "DVC is not installed: pip install -r requirements-extras.txt -c constraints.txt, or let ROOST_DVC name one. "
    "Snapshots, training and exports work without it."
)
NO_S3 = (
    "This DVC can't reach S3, whose package does not go with Roost's own. Install one in a folder of its own "
    "(python3.11 -m venv var/dvc && var/dvc/bin/pip install 'dvc[s3]==3.67.1') and set ROOST_DVC=var/dvc/bin/dvc."
)


class DataRepositoryError(RoostError):
    """git or DVC refused; the text holds their own last words."""

    code = "data_repository"
    http_status = 502


def dvc_program() -> str | None:
    """Where DVC is; None when there is none."""
    return shutil.which(str(settings.DVC_PROGRAM))


def dvc_required() -> str:
    program = dvc_program()
    if program is None:
        raise RoostError(ABSENT, code="absent_package")
    return program


def dvc(folder: Path, *words: str, should_stop: Callable[[], bool] = lambda: False) -> str:
    """It ends with this process: a second attempt must not meet the first one's DVC."""
    command = child_command([dvc_required(), "--cd", str(folder), *words])
    return _run("dvc " + words[0], command, _dvc_environment(folder), should_stop)


def git(folder: Path, *words: str, at: datetime | None = None) -> str:
    """`at`: the time that a commit gets, so that the same files give the same commit."""
    moment = {"GIT_AUTHOR_DATE": at.isoformat(), "GIT_COMMITTER_DATE": at.isoformat()} if at else {}
    command = ["git", *PERSON, *MANNERS, "-C", str(folder), *words]
    return _run("git " + words[0], command, _environment() | moment, lambda: False)


def _run(name: str, command: Sequence[str], environment: dict[str, str], should_stop: Callable[[], bool]) -> str:
    """What it printed. JobCancelled when should_stop said so, DataRepositoryError when it failed."""
    try:
        child = subprocess.Popen(
            command,
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise RoostError(f"{command[0]} is not installed; data versions need it.", code="absent_package") from error
    said = _until_ended(name, child, should_stop)
    if child.returncode:
        raise DataRepositoryError(_refusal(name, said))
    return said


def _until_ended(name: str, child: subprocess.Popen, should_stop: Callable[[], bool]) -> str:
    while True:
        try:
            return child.communicate(timeout=LOOK_EVERY_SECONDS)[0]
        except subprocess.TimeoutExpired:
            if should_stop():
                _stop(child)
                raise JobCancelled(f"{name} was stopped") from None


def _stop(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.communicate(timeout=KILL_AFTER_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()


def _refusal(name: str, said: str) -> str:
    if "dvc-s3" in said or "dvc_s3" in said:
        return NO_S3
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = " ".join(line for line in lines[-TOLD_LINES:] if not line.startswith("hint:"))
    return f"`{name}` refused: {told or 'it said nothing.'}"


def _environment() -> dict[str, str]:
    """This process's own without what concerns Roost, and without what would let a person's settings in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_", "ROOST_"))}
    nothing = os.devnull
    return kept | {
        "GIT_CONFIG_GLOBAL": nothing,
        "GIT_CONFIG_SYSTEM": nothing,
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


def _dvc_environment(folder: Path) -> dict[str, str]:
    """What it remembers of files lies in the repository, not in /var/tmp, and it reports to nobody."""
    own = folder / ".dvc" / "tmp"
    return _environment() | {
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(own / "no-config"),
        "DVC_SYSTEM_CONFIG_DIR": str(own / "no-config"),
        "DVC_SITE_CACHE_DIR": str(own / "site"),
    }
