"""A folder for Roost's data that is of no use: one sentence from every door, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _run(*command: str, folder: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "annotator.settings", "ROOST_VAR": str(folder)}
    environment.pop("ROOST_SECRET_KEY", None)
    arguments = [sys.executable, *command]
    return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [("manage.py", "doctor", "--setup"), ("manage.py", "check"), ("-m", "mlbackend")])
def test_folder_that_is_a_file_is_told_in_one_sentence(command, tmp_path):
    (tmp_path / "a").write_text("")
    done = _run(*command, folder=tmp_path / "a")
    assert done.returncode in (1, 2)
    assert f"ROOST_VAR is {tmp_path}/a, which can't be used: there is a file of that name." in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("manage.py", "migrate"), ("-m", "mlbackend")])
def test_folder_that_cannot_be_made_is_told_in_one_sentence(command, tmp_path):
    (tmp_path / "a").write_text("")
    done = _run(*command, folder=tmp_path / "a" / "var")
    assert "a/var, which can't be used: Not a directory. Name a folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("command", [("manage.py", "check"), ("-m", "mlbackend")])
def test_folder_that_may_not_be_written_to_is_told_in_one_sentence(command, tmp_path):
    tmp_path.chmod(0o500)
    done = _run(*command, folder=tmp_path)
    assert "this user may not read and write there" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_secret_key_that_cannot_be_read_is_told_in_one_sentence(tmp_path):
    (tmp_path / "secret_key").mkdir()
    done = _run("manage.py", "check", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"{tmp_path}/secret_key can't be read (Is a directory). Give it to this user, or set ROOST_SECRET_KEY."
    ]


def test_folder_that_is_not_there_is_made(tmp_path):
    assert _run("manage.py", "check", folder=tmp_path / "new" / "var").returncode == 0
    assert (tmp_path / "new" / "var" / "secret_key").stat().st_mode & 0o777 == 0o600
