"""Templates can be read: lines end before 140 characters."""

import re
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
LIMIT = 140
PAGES = {str(path.relative_to(TEMPLATES)): path for path in TEMPLATES.rglob("*.html")}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_lines_end_before_the_limit(name):
    lines = enumerate(PAGES[name].read_text().splitlines(), start=1)
    # An attribute's value stays on its line, however long: a break in it would be part of what is read out.
    long = [number for number, line in lines if len(re.sub('"[^"]*"', '""', line)) > LIMIT]
    assert long == []
