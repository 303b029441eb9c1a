"""The hook on commit messages, with git itself in a repository of its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BODY = "\n\nCause: barns burn.\nChoice: water.\nChecked: it is wet.\n"
PERSON = {f"GIT_{role}_{what}": "roost@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = clean | PERSON | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def _git(folder: Path, *words: str) -> str:
    done = _run(folder, "git", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _commit(folder: Path, message: str) -> subprocess.CompletedProcess[str]:
    return _run(folder, "git", "commit", "--allow-empty", "--message", message)


def _copied(folder: Path) -> Path:
    """What of the repository the hook needs, without git."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / ".githooks", folder / ".githooks")
    return folder


@pytest.fixture
def repository(tmp_path):
    _git(_copied(tmp_path), "init", "--quiet", "--initial-branch", "main")
    _git(tmp_path, "config", "core.hooksPath", ".githooks")
    assert _commit(tmp_path, f"Begin{BODY}").returncode == 0
    return tmp_path


@pytest.mark.parametrize("part", ["Cause", "Choice", "Checked"])
def test_a_part_that_is_missing_is_named(repository, part):
    kept = [line for line in BODY.splitlines() if not line.startswith(part)]
    refused = _commit(repository, "\n".join(["Put the fire out", *kept]))
    assert refused.returncode != 0
    assert f'No line begins "{part}: …"' in refused.stderr
    assert refused.stderr.count("No line begins") == 1


@pytest.mark.parametrize("message", ["Put the fire out", "Put the fire out\n\nCause:\nChoice:\nChecked:\n"])
def test_a_message_without_a_body_is_refused_and_kept(repository, message):
    refused = _commit(repository, message)
    assert refused.returncode != 0
    assert refused.stderr.count("No line begins") == 3
    assert (repository / ".git" / "COMMIT_EDITMSG").read_text().startswith("Put the fire out")
    assert _git(repository, "log", "--format=%s") == "Begin"


def test_a_whole_message_is_taken(repository):
    assert _commit(repository, f"Put the fire out{BODY}").returncode == 0
    assert _git(repository, "log", "-1", "--format=%s") == "Put the fire out"


def test_subjects_are_72_characters_at_most_counted_as_letters(repository):
    assert _commit(repository, "ü" * 72 + BODY).returncode == 0
    assert "has 73 characters" in _commit(repository, "ü" * 73 + BODY).stderr


def test_the_subject_stands_alone(repository):
    refused = _commit(repository, f"Put the fire out\nat once{BODY}")
    assert "second line must be empty" in refused.stderr


def test_what_git_adds_for_the_editor_is_not_read(repository):
    draft = repository / "draft"
    draft.write_text(
        "Put the fire out\n\n# Cause: a\n# ------------------------ >8 ------------------------\nChoice: b\n"
    )
    refused = _run(repository, "git", "commit", "--allow-empty", "--cleanup", "verbatim", "--file", str(draft))
    assert refused.stderr.count("No line begins") == 3


def test_fixups_and_reverts_pass(repository):
    (repository / "barn").write_text("red")
    _git(repository, "add", "barn")
    assert _commit(repository, f"Paint the barn{BODY}").returncode == 0
    _git(repository, "commit", "--allow-empty", "--fixup", "HEAD")
    _git(repository, "commit", "--allow-empty", "--squash", "HEAD", "--message", "more")
    _git(repository, "revert", "--no-edit", "HEAD~2")
    assert _git(repository, "log", "-1", "--format=%s") == 'Revert "Paint the barn"'


def test_merges_pass_whatever_they_are_called(repository):
    for branch, message in (("one", None), ("two", "Bring two in")):
        _git(repository, "checkout", "--quiet", "-b", branch)
        assert _commit(repository, f"Work on {branch}{BODY}").returncode == 0
        _git(repository, "checkout", "--quiet", "main")
        _git(repository, "merge", "--no-ff", *(["--message", message] if message else ["--no-edit"]), branch)
    assert _git(repository, "log", "-1", "--format=%s") == "Bring two in"


def test_the_hook_is_found_in_a_worktree(repository, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("worktree") / "tree"
    _git(repository, "add", ".githooks")
    assert _commit(repository, f"Keep the hook{BODY}").returncode == 0
    _git(repository, "worktree", "add", "--quiet", str(elsewhere))
    assert "No line begins" in _commit(elsewhere, "Put the fire out").stderr


def test_setup_turns_the_hook_on(tmp_path):
    _git(_copied(tmp_path), "init", "--quiet")
    made = _run(tmp_path, "make", "--silent", "hooks")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert _git(tmp_path, "config", "core.hooksPath") == ".githooks"
    assert "No line begins" in _commit(tmp_path, "Put the fire out").stderr


def test_setup_leaves_hooks_of_ones_own_alone(tmp_path):
    _git(_copied(tmp_path), "init", "--quiet")
    _git(tmp_path, "config", "core.hooksPath", "mine")
    assert _run(tmp_path, "make", "--silent", "hooks").returncode == 0
    assert _git(tmp_path, "config", "core.hooksPath") == "mine"


def test_setup_without_a_repository_is_quiet_and_spares_the_one_around_it(tmp_path):
    _git(tmp_path, "init", "--quiet")
    (tmp_path / "roost").mkdir()
    made = _run(_copied(tmp_path / "roost"), "make", "--silent", "hooks")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert _run(tmp_path, "git", "config", "core.hooksPath").returncode == 1
