"""The documentation keeps up with the code."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
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
