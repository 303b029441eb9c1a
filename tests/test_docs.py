"""The documentation keeps up with the code."""

import re
from pathlib import Path

import pytest
from django.urls import Resolver404, resolve

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("annotator", "mlbackend", "training", "static", "templates", "tests", "bench", "docs")
# How a process tells its own child something; nobody sets them by hand.
INTERNAL = {"ROOST_JEMALLOC_TRIED", "ROOST_OUTLIVE_PARENT"}


def _variables() -> set[str]:
    sources = [
        path for tower in ("annotator", "mlbackend", "toolbox", "training") for path in (ROOT / tower).rglob("*.py")
    ]
    return {name for path in sources for name in re.findall(r"\bROOST_[A-Z_]*[A-Z]\b", path.read_text())}


def test_every_setting_is_described():
    described = set(re.findall(r"\bROOST_[A-Z_]*[A-Z]\b", (ROOT / "docs" / "settings.md").read_text()))
    assert _variables() - INTERNAL - described == set()
    assert described - _variables() == set()


def test_every_command_is_described():
    commands = {path.stem for path in (ROOT / "annotator" / "management" / "commands").glob("[a-z]*.py")}
    text = "".join(page.read_text() for page in PAGES)
    assert {name for name in commands if not re.search(rf"manage\.py {name}\b|`{name}`", text)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def _files() -> list[str]:
    """Every file of ours, as a path from the root."""
    return [str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]


def _is_address(path: str) -> bool:
    """`training/start/` is no folder but an address below a project's page."""
    try:
        return bool(resolve(f"/p/project/{path}"))
    except Resolver404:
        return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_folders_that_a_page_names_exist(page):
    """A path from the root as it stands; a shorter one (`queue/leases.py`, `rle.js`) as the end of a file's path."""
    text, files = page.read_text(), _files()
    named = re.findall(rf"(?<![\w/.-])((?:{'|'.join(FOLDERS)})/[\w./-]*[\w/])`", text)
    ends = re.findall(r"`([\w./-]+\.(?:py|js|css|html))`", text)
    absent = [path for path in named if not (ROOT / path).exists() and not _is_address(path)]
    absent += [
        end for end in ends if not (ROOT / end).exists() and not any(f"/{path}".endswith(f"/{end}") for path in files)
    ]
    assert absent == []


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "submitit"])
def test_no_page_promises_what_no_code_does(name):
    sources = [path for tower in ("annotator", "mlbackend", "training") for path in (ROOT / tower).rglob("*.py")]
    done = any(re.search(rf"^\s*(?:import|from) (?:\w+\.)*{name}\b", path.read_text(), re.M) for path in sources)
    told = [page.name for page in PAGES if re.search(rf"\b{name}\b", page.read_text(), re.I)]
    assert done or told == []
