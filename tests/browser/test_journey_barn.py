"""Once round the whole loop as three people in a browser, on real processes: the demo world, import to roll-back.

Eight tasks are settled by real clicks on the canvas; an oracle settles the rest through the API, because a retrain
needs more than a test should click.
"""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Response

from annotator.common.masks import encode_mask, wire_to_rle
from annotator.management.commands.demo_loop import read_truth
from annotator.operations.loop.client import RoostClient
from annotator.operations.loop.oracle import Point, settle_object
from annotator.operations.loop.rounds import Loop
from tests.browser.desk_support import Desk, chromium, decode, iou, press_until, visit
from tests.processes import PATIENCE_S, wait_until
from tests.stack import Stack, running_stack
from training.demo.scenes import draw_scene

pytestmark = [pytest.mark.browser, pytest.mark.slow]

__all__ = ["chromium"]

# The demo project of `demo_loop --seed 2`, whose gain is clear: +5 CGF1 points, at least +1.6 with 95 % confidence.
DEMO = ["--seed", "2020000"]
CLICKED, BY_ORACLE, STEPS = 8, 112, 150
IMPORTED_SEEDS = range(2_700_000, 2_700_004)
JOB_LIMIT_S = 1000


@pytest.fixture(scope="module")
def roost(tmp_path_factory):
    with running_stack(tmp_path_factory.mktemp("journey"), demo=DEMO) as running:
        yield running


class Journey:
    """A running Roost, its database read from outside, and one browser context a person."""

    def __init__(self, roost: Stack, browser: Browser) -> None:
        self.roost, self.browser = roost, browser
        self.truth = read_truth(roost.var)

    def log_in(self, name: str) -> Page:
        page = self.browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(f"{self.roost.url}/login/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(self.roost.logins[name])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/login/" not in url)
        return page

    def visit(self, page: Page, place: str) -> None:
        visit(page, f"{self.roost.url}/p/barn/{place}")

    def picture(self, page: Page, name: str) -> None:
        """A screenshot for the docs, where ROOST_PICTURES names a folder."""
        if folder := os.environ.get("ROOST_PICTURES"):
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def one(self, query: str, *values: object) -> tuple:
        """The values of a query's first row; none when there is no row."""
        return tuple(next(iter(self.roost.rows(query, *values)), {}).values())

    def wait_for_job(self, kind: str, count: int = 1) -> dict:
        """The report of the `count`-th job of that kind, once it is done."""
        query = "select state, report, reason from annotator_job where kind = ? order by id limit 1 offset ?"
        done = lambda: (self.one(query, kind, count - 1) or ("",))[0] in {"succeeded", "failed"}  # noqa: E731
        wait_until(done, seconds=JOB_LIMIT_S)
        state, report, reason = self.one(query, kind, count - 1)
        assert (state, reason) == ("succeeded", "")
        return json.loads(report)

    def serving(self) -> str:
        query = "select v.name from annotator_project p join annotator_modelversion v on v.id = p.serving_version_id"
        return self.one(query)[0]

    def truth_of(self, desk: Desk) -> tuple[int, list[np.ndarray]]:
        """The task on the desk and the drawn truth of its pair."""
        query = (
            "select t.id, i.sha256, c.name from annotator_task t join annotator_pair p on p.id = t.pair_id"
            " join annotator_image i on i.id = p.image_id join annotator_concept c on c.id = p.concept_id"
            " where i.original_name = ? and c.name = ? order by t.id desc"
        )

        shown: list[tuple] = []

        def is_shown() -> bool:
            shown.append(self.one(query, desk.role("image-name").inner_text(), desk.role("concept").inner_text()))
            return bool(shown[-1])

        wait_until(is_shown)
        task, sha256, concept = shown[-1]
        return task, [decode(rle) for rle in self.truth[sha256, concept]]


@pytest.fixture(scope="module")
def journey(roost, chromium):
    return Journey(roost, chromium)


def test_three_people_go_once_round_the_loop(journey):
    admin, annotator, reviewer = (journey.log_in(name) for name in ("admin", "annotator", "reviewer"))
    import_scenes(journey, admin)
    mine(journey, admin)
    clicked = label_by_clicking(journey, annotator)
    review(journey, reviewer, annotator, clicked)
    label_by_oracle(journey)
    take_snapshot(journey, admin)
    promoted = retrain_and_promote(journey, admin)
    assert click_is_answered_by(journey, annotator) == promoted
    assert mine_again(journey, admin)["model_version"] == promoted
    journey.visit(admin, "")
    journey.picture(admin, "project")
    roll_back(journey, admin)
    assert click_is_answered_by(journey, annotator) == "demo"


def import_scenes(journey: Journey, admin: Page) -> None:
    before = journey.one("select count(*) from annotator_image")[0]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for seed in IMPORTED_SEEDS:
            scene = draw_scene(seed, "hard")
            content = png(scene.image_HWC)
            target.writestr(f"scene-{seed}.png", content)
            for concept in ("chicken", "duck"):
                masks = [encode_mask(mask) for name, mask in scene.instances if name == concept]
                journey.truth[hashlib.sha256(content).hexdigest(), concept] = masks
        target.writestr("broken.png", b"not an image")
    journey.visit(admin, "images/")
    admin.locator("#import-title").click()
    admin.locator("input[type=file]").set_input_files(
        {"name": "scenes.zip", "mimeType": "application/zip", "buffer": archive.getvalue()}
    )
    admin.get_by_role("button", name="Import", exact=True).click()
    report = journey.wait_for_job("import")
    assert journey.one("select count(*) from annotator_image")[0] == before + len(IMPORTED_SEEDS)
    assert "broken.png" in json.dumps(report)


def png(image_HWC: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, "PNG")
    return file.getvalue()


def mine(journey: Journey, admin: Page) -> None:
    journey.visit(admin, "queue/")
    admin.get_by_role("button", name="Mine now").click()
    report = journey.wait_for_job("mine")
    journey.visit(admin, "queue/")
    admin.wait_for_timeout(1500)
    journey.picture(admin, "queue")
    waiting = journey.one("select count(*) from annotator_task where state = 'queued'")[0]
    assert waiting == sum(report["queued"].values()) > 0
    assert report["queued"].get("band", 0) > 0
    assert report["queued"]["audit"] > 0


def label_by_clicking(journey: Journey, annotator: Page) -> list[int]:
    """Settle the first tasks by hand: every object by clicks, or one key for «not there»."""
    journey.visit(annotator, "desk/")
    annotator.get_by_role("button", name="Start").click()
    desk, settled, done = Desk(annotator), [], []
    while len(done) < CLICKED:
        wait_until(lambda: desk.role("image-name").inner_text().strip() != "")
        task, objects = settle_one(journey, desk, settled)
        if task not in settled:
            settled.append(task)
            check_rows(journey, task, objects)
            done.append(task)
    return done


def settle_one(journey: Journey, desk: Desk, settled: list[int]) -> tuple[int, list[np.ndarray]]:
    """Click each object, correct where the mask is wrong, accept, submit; skip what would have to be drawn by hand."""
    task, objects = journey.truth_of(desk)
    if task in settled:
        desk.page.wait_for_timeout(50)
        return task, objects
    for number, mask in enumerate(objects, start=1):
        if settle_object(mask, hand_of(desk, mask.shape)).origin == "drawn":
            desk.press("Escape", "s")
            wait_until(lambda: journey.truth_of(desk)[0] != task)
            settled.append(task)
            return task, objects
        desk.press("Enter")
        wait_until(lambda number=number: desk.instance_count() == number)
    answered = "select count(*) from annotator_annotation where task_id = ?"
    press_until(desk.page, "Space" if objects else "n", lambda: journey.one(answered, task)[0] == 1)
    return task, objects


def hand_of(desk: Desk, shape_hw: tuple[int, int]) -> Callable[[Sequence[Point]], np.ndarray]:
    """The oracle's hand: a real click on the canvas (right button takes away), and the mask that came back."""

    def is_click(answer: Response) -> bool:
        return answer.url.endswith("/click") and not (answer.request.post_data_json or {}).get("preview")

    def click(points: Sequence[Point]) -> np.ndarray:
        with desk.page.expect_response(is_click) as answered:
            desk.click(points[-1].x, points[-1].y, button="left" if points[-1].label else "right")
        desk.says("Mask in hand")
        return decode(wire_to_rle(answered.value.json()["mask"], height_px=shape_hw[0], width_px=shape_hw[1]))

    return click


def check_rows(journey: Journey, task: int, objects: list[np.ndarray]) -> None:
    """Each stored mask holds its own click and fits the drawn object that was clicked."""
    verdict, stored = journey.one("select verdict, instances from annotator_annotation where task_id = ?", task)
    instances = json.loads(stored)
    assert verdict == ("present" if objects else "absent")
    assert len(instances) == len(objects)
    for instance, drawn in zip(instances, objects, strict=True):
        mask, point = decode(instance["mask"]), instance["prompts"][0]
        assert mask[int(point["y"]), int(point["x"])]
        assert iou(mask, drawn) > 0.6
        assert instance["model_version"] == "demo"


def review(journey: Journey, reviewer: Page, annotator: Page, clicked: list[int]) -> None:
    """The first answer goes back with a comment and is fixed by its author; the others are approved."""
    journey.visit(reviewer, "review/")
    reviewer.get_by_role("link", name="Start reviewing").click()
    wait_until(lambda: Desk(reviewer).role("author").inner_text().startswith("annotator"))
    reviewer.keyboard.press("r")
    reviewer.locator("#comment").fill("Please look once more.")
    reviewer.keyboard.press("Control+Enter")
    wait_until(lambda: journey.one("select count(*) from annotator_review where decision = 'send_back'")[0] == 1)
    returned = journey.one("select id from annotator_task where state = 'returned'")[0]
    assert returned in clicked
    approve_all(journey, reviewer, len(clicked) - 1)
    fix(journey, annotator, returned)
    journey.visit(reviewer, "review/")
    reviewer.get_by_role("link", name="Start reviewing").click()
    approve_all(journey, reviewer, len(clicked))


def approve_all(journey: Journey, reviewer: Page, expected: int) -> None:
    count = "select count(*) from annotator_task where state = 'approved'"
    while (approved := journey.one(count)[0]) < expected:
        wait_until(lambda: Desk(reviewer).role("author").inner_text().startswith("annotator"))
        press_until(reviewer, "a", lambda approved=approved: journey.one(count)[0] > approved)


def fix(journey: Journey, annotator: Page, task: int) -> None:
    journey.visit(annotator, f"desk/{task}/")
    if annotator.get_by_role("button", name="Start").is_visible():
        annotator.get_by_role("button", name="Start").click()
    annotator.get_by_text("Please look once more.").wait_for()
    verdict = journey.one("select verdict from annotator_annotation where task_id = ?", task)[0]
    answered = "select count(*) from annotator_annotation where task_id = ?"
    press_until(annotator, "n" if verdict == "absent" else "Space", lambda: journey.one(answered, task)[0] == 2)


def token(roost: Stack, name: str) -> str:
    return roost.manage("token", name, "--quiet").strip()


def label_by_oracle(journey: Journey) -> None:
    people = {name: RoostClient(journey.roost.url, token(journey.roost, name)) for name in journey.roost.logins}
    loop = Loop(slug="barn", truth=journey.truth, say=lambda line: None, **people)
    people["admin"].post("projects/barn/mine")
    journey.wait_for_job("mine", 2)
    loop.label(BY_ORACLE)
    loop.approve()
    assert journey.one("select count(*) from annotator_pair where truth_source = 'annotated'")[0] > BY_ORACLE // 2


def take_snapshot(journey: Journey, admin: Page) -> None:
    journey.visit(admin, "snapshots/")
    admin.get_by_role("button", name="Take a snapshot").click()
    journey.wait_for_job("snapshot")
    content_hash = journey.one("select content_hash from annotator_snapshot")[0]
    folder: Path = journey.roost.var / "snapshots" / "barn" / content_hash
    train = json.loads((folder / "train.json").read_text())
    with_objects = {row["image_id"] for row in train["annotations"]}
    assert {row["truth"] for row in train["images"]} >= {"annotated", "drawn"}
    assert any(row["id"] not in with_objects for row in train["images"])


def ask_little(journey: Journey, admin: Page) -> None:
    """The holdout is far too small for the usual margins: what is tried here is the way, not the gate's judgement."""
    journey.visit(admin, "settings/")
    asked = {"alarm_margin": "1", "recall_margin": "1", "min_scenes": "1", "level": "0.5"}
    for name, value in asked.items():
        admin.locator(f"[name=gate_{name}]").fill(value)
    admin.get_by_role("button", name="Save", exact=True).click()
    wait_until(lambda: journey.one("select gate_alarm_margin from annotator_project where slug = 'barn'")[0] == 1)


def retrain_and_promote(journey: Journey, admin: Page) -> str:
    ask_little(journey, admin)
    journey.visit(admin, "training/")
    admin.get_by_label("Steps").fill(str(STEPS))
    admin.get_by_role("button", name="Retrain").click()
    report = journey.wait_for_job("retrain")
    assert report["gate"]["decision"] == "promote", report["gate"]["reasons"]
    assert report["gate"]["bootstrap"]["low"] > 0
    journey.visit(admin, f"training/{report['run']}/")
    admin.wait_for_timeout(2000)  # plots and masks are drawn behind the page
    journey.picture(admin, "run")
    admin.get_by_role("button", name=f"Promote {report['version']}").click()
    admin.locator("#confirm-yes").click()
    wait_until(lambda: journey.serving() == report["version"])
    return report["version"]


def click_is_answered_by(journey: Journey, annotator: Page) -> str:
    """The version in the answer to a click on whatever the desk shows now."""
    journey.visit(annotator, "desk/")
    annotator.get_by_role("button", name="Start").click()
    wait_until(lambda: Desk(annotator).role("image-name").inner_text().strip() != "")
    with annotator.expect_response(lambda answer: answer.url.endswith("/click")) as answered:
        Desk(annotator).click(112, 150)
    version = answered.value.json()["model_version"]
    annotator.keyboard.press("Escape")
    return version


def mine_again(journey: Journey, admin: Page) -> dict:
    journey.visit(admin, "queue/")
    earlier = journey.one("select count(*) from annotator_job where kind = 'mine'")[0]
    admin.get_by_role("button", name="Mine now").click()
    return journey.wait_for_job("mine", earlier + 1)


def roll_back(journey: Journey, admin: Page) -> None:
    journey.visit(admin, "models/")
    admin.get_by_role("button", name="Roll back to demo").click()
    admin.locator("#confirm-yes").click()
    wait_until(lambda: journey.serving() == "demo")
    actions = journey.one("select group_concat(action) from annotator_auditevent")[0]
    assert "promote" in actions
    assert "rollback" in actions
