"""axe-core over every page, for each role, light and dark, both desks with an image on screen: it finds nothing."""

import pytest
from django.urls import reverse
from playwright.sync_api import Page

from tests.browser.desk_support import ROOT, Stage, chromium
from tests.browser.test_pages import busy_barn, stage
from tests.web.test_pages_access import PAGES, POLICY, RANK, address, ids

pytestmark = pytest.mark.browser

__all__ = ["busy_barn", "chromium", "ids", "stage"]

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
DESKS = {"desk", "desk-task", "review"}
COMMON = ("home", "password", "tokens", "keys")
# All rules once; dark differs from light in nothing but colours, and an admin sees all that there is to colour.
ALL_RULES: dict = {}
COLOURS = {"runOnly": ["color-contrast"]}
STILL = """() => !document.querySelector('.status-asking') && !/(counting|reading) …/.test(document.body.innerText)
    && [...document.images].every(image => image.complete || image.loading === 'lazy')"""


@pytest.fixture
def axe() -> str:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: `npm ci` does it")
    return AXE.read_text()


# Opened by itself a browser dresses a picture in styles of its own, which the pages' policy forbids.
PICTURES = {"run-views"}


def pages_for(role: str, ids: dict) -> dict[str, str]:
    """{name: address} of everything but files that the role may open, from the URL table.

    Of reviewers what begins with them: on the rest they see less than an admin and more than an annotator.
    """
    least = {"annotator": ["annotator"], "reviewer": ["reviewer"], "admin": RANK}[role]
    pages = [name for name in PAGES if not name.endswith("-download") and name not in PICTURES]
    own = [name for name in pages if POLICY[name][0] in least]
    return {name: address(name, ids) for name in own} | {name: reverse(name) for name in COMMON} | {"404": "/p/no/"}


def settle(page: Page, name: str) -> None:
    """Wait until nothing is awaited any more; a desk that has something to do shows its picture."""
    if name in DESKS:
        start = page.get_by_role("button", name="Start")
        page.locator("[data-cover=loading]").wait_for(state="hidden")
        if start.is_visible():
            start.click()
    if name in ("desk", "review"):
        page.locator("[data-role=cover]").wait_for(state="hidden")
    page.wait_for_function(STILL)


def findings(page: Page, axe: str, name: str, *, dark_too: bool = False) -> list[str]:
    """One line for each fault: page, mode, rule, the first places."""
    page.evaluate(axe)
    found = []
    for mode, options in [("light", ALL_RULES), ("dark", COLOURS)][: 1 + dark_too]:
        page.emulate_media(color_scheme=mode)
        faults = page.evaluate("async options => (await axe.run(document, options)).violations", options)
        found += [
            f"{name}, {mode}: {fault['id']} at {[node['target'] for node in fault['nodes']][:3]}" for fault in faults
        ]
    return found


@pytest.mark.parametrize("role", RANK)
def test_axe_finds_nothing_on_any_page(axe, stage: Stage, busy_barn, ids, role):
    page = stage.page_for(getattr(busy_barn, role), "")
    found = []
    for name, url in pages_for(role, ids).items():
        answer = page.goto(stage.url + url)
        assert answer.status == (404 if name == "404" else 200), name
        if not answer.text().lstrip().lower().startswith("<!doctype html>"):
            continue  # what a page fetches and shows inside itself is looked at there
        settle(page, name)
        found += findings(page, axe, name, dark_too=role == "admin")
    assert found == []


def test_axe_finds_nothing_on_the_log_in_page(axe, stage: Stage):
    page = stage.browser.new_context().new_page()
    page.goto(stage.url + reverse("login"))
    assert findings(page, axe, "login", dark_too=True) == []
