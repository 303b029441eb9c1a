"""How much of an annotator's time is the product's own: a scripted annotator over demo images in headless Chromium.

Prints, in milliseconds, from the event to the painted frame: key press to next image, click to mask; bytes a click,
which is prompts up and a cropped mask down; click to mask with 0, 50 and 200 masks on the image; the frame time of
panning over 200 masks; what the tab holds on to (heap, nodes, listeners, open bitmaps) after every quarter of tasks.
With `--flat` it ends with status 1 where that grows: `--tasks 200 --pace-ms 300 --flat` is an annotator's long day.

Run: python -m bench.desk [--tasks 50] [--pace-ms 400] [--flat] [--json FILE]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import CDPSession, Page, Response, sync_playwright
from pycocotools import mask as coco_mask
from scipy import ndimage

from tests.stack import Stack, running_stack

CHROMIUM = os.environ.get("ROOST_CHROMIUM", "/usr/bin/chromium")
WINDOW = {"width": 1280, "height": 800}
MARGIN_PX = 16
CROWDS = (0, 50, 200)
CLICKS_A_CROWD = 15
# What the tab may hold more at the end than after the first quarter: the marks of the clicks, ten tasks to reopen.
MAY_GROW = {"heap, MiB": 0.6, "nodes": 200, "listeners": 20, "open bitmaps": 1}


class Annotator:
    """Looks at the task on screen through what the desk itself was told, and clicks where the drawn truth is."""

    def __init__(self, page: Page, stack: Stack) -> None:
        self.page, self.truth = page, stack.truth()
        self.tasks: dict[str, dict] = {}  # by image name
        self.click_bytes: list[int] = []
        page.on("response", self._hear)

    def _hear(self, response: Response) -> None:
        if response.status == 200 and (response.url.endswith("/claim") or "/api/v1/tasks/" in response.url):
            if response.url.endswith("/claim"):
                task = response.json()
                self.tasks[task["image"]["name"]] = task
            elif response.url.endswith("/click"):
                sizes = response.request.sizes()
                self.click_bytes.append(sizes["requestBodySize"] + sizes["responseBodySize"])

    def task(self) -> dict:
        return self.tasks[self.page.locator("[data-role=image-name]").inner_text()]

    def target(self) -> tuple[float, float]:
        """The deepest pixel of a drawn instance of the concept, else the middle of the image."""
        task = self.task()
        image = task["image"]
        drawn = self.truth.get(image["sha256"], {"instances": {}})["instances"].get(task["concept"]["name"], [])
        if not drawn:
            return image["width"] / 2, image["height"] / 2
        mask = coco_mask.decode(drawn[0])
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        return float(x) + 0.5, float(y) + 0.5

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        box, image = self.page.locator("[data-role=stage]").bounding_box(), self.task()["image"]
        width, height = image["width"], image["height"]
        scale = min((box["width"] - 2 * MARGIN_PX) / width, (box["height"] - 2 * MARGIN_PX) / height)
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        return middle[0] + (x - width / 2) * scale, middle[1] + (y - height / 2) * scale

    def click(self) -> None:
        before = len(measures(self.page, "roost:click"))
        self.page.mouse.click(*self.on_screen(*self.target()))
        wait_for_measure(self.page, "roost:click", before)

    def settle(self, pace_ms: int) -> bool:
        """One task: click, accept, submit; an empty mask is dropped for «not there». False at the end of the queue."""
        before = len(measures(self.page, "roost:next"))
        self.click()
        self.page.wait_for_timeout(pace_ms)  # a person looks at the mask
        self.page.keyboard.press("Enter")
        if "accepted" in self.status():
            self.press_until_sure("Space")
        else:
            self.page.keyboard.press("Escape")
            self.press_until_sure("n")
        return wait_for_measure(self.page, "roost:next", before)

    def status(self) -> str:
        return self.page.locator("[data-role=status]").inner_text()

    def press_until_sure(self, key: str) -> None:
        """The second Space submits in spite of undecided proposals, the second N in spite of a mask."""
        self.page.keyboard.press(key)
        if "once more" in self.status():
            self.page.keyboard.press(key)


def measures(page: Page, name: str) -> list[float]:
    return page.evaluate("name => performance.getEntriesByName(name).map((entry) => entry.duration)", name)


def wait_for_measure(page: Page, name: str, count: int) -> bool:
    deadline = time.monotonic() + 30
    while len(measures(page, name)) <= count:
        if page.locator("[data-cover=empty]").is_visible():
            return False
        assert time.monotonic() < deadline, f"no {name} within 30 s: {page.locator('[data-role=status]').inner_text()}"
        page.wait_for_timeout(5)
    return True


def summary(values: list[float]) -> dict[str, float]:
    points = np.percentile(values, [50, 95]) if values else (float("nan"), float("nan"))
    return {"n": len(values), "p50": round(float(points[0]), 1), "p95": round(float(points[1]), 1)}


def held(page: Page, session: CDPSession) -> dict[str, float]:
    """What the tab holds on to once its garbage is collected."""
    session.send("HeapProfiler.collectGarbage")
    found = {row["name"]: row["value"] for row in session.send("Performance.getMetrics")["metrics"]}
    return {
        "heap, MiB": round(found["JSHeapUsedSize"] / 2**20, 2),
        "nodes": found["Nodes"],
        "listeners": found["JSEventListeners"],
        "open bitmaps": page.evaluate("window.open_bitmaps"),
    }


def count_bitmaps(page: Page) -> None:
    """Bitmaps live outside the heap: each that is made and not closed costs its pixels."""
    page.add_init_script(
        """
        window.open_bitmaps = 0;
        const make = window.createImageBitmap.bind(window);
        window.createImageBitmap = async (...args) => {
          const made = await make(...args);
          open_bitmaps++;
          return made;
        };
        const close = ImageBitmap.prototype.close;
        ImageBitmap.prototype.close = function () { if (this.width) open_bitmaps--; close.call(this); };
        """
    )


def growth(samples: list[dict[str, float]]) -> list[str]:
    """What grew by more than it may between the first quarter and the end, as sentences."""
    _, first, *_, last = samples
    grown = {name: last[name] - first[name] for name in MAY_GROW}
    return [f"{name} grew by {grown[name]:g}" for name, most in MAY_GROW.items() if grown[name] > most]


def log_in(page: Page, stack: Stack, name: str) -> None:
    page.goto(f"{stack.url}/login/")
    page.fill("[name=username]", name)
    page.fill("[name=password]", stack.logins[name])
    page.click("main button[type=submit]")
    page.wait_for_load_state()


def mine(page: Page, stack: Stack, tasks: int) -> None:
    """Fill the queue by the product's own mining job, in one batch."""
    batch = f"from annotator.models import Project; Project.objects.update(mine_batch={2 * tasks})"
    stack.manage("shell", "-c", batch)
    log_in(page, stack, "admin")
    token = page.locator("meta[name=csrf-token]").get_attribute("content")
    headers = {"X-CSRFToken": token or "", "Referer": stack.url}
    answer = page.request.post(f"{stack.url}/api/v1/projects/barn/mine", data={}, headers=headers)
    assert answer.status == 202, answer.text()
    deadline = time.monotonic() + 600
    while stack.rows("select count(*) n from annotator_task where state = 'queued'")[0]["n"] < tasks:
        assert time.monotonic() < deadline, stack.rows("select state, message, reason from annotator_job")
        time.sleep(0.5)


def start_desk(page: Page, stack: Stack) -> Annotator:
    log_in(page, stack, "annotator")
    annotator = Annotator(page, stack)
    page.goto(f"{stack.url}/p/barn/desk/")
    page.locator("[data-cover=start] [data-start]").click()
    wait_for_measure(page, "roost:next", 0)
    page.keyboard.press("h")  # previews would be counted with the clicks
    return annotator


def run_tasks(annotator: Annotator, session: CDPSession, tasks: int, pace_ms: int) -> dict[str, Any]:
    samples = [held(annotator.page, session)]
    for done in range(1, tasks):
        if not annotator.settle(pace_ms):
            break
        if done % max(tasks // 4, 1) == 0 or done == tasks - 1:
            samples.append(held(annotator.page, session))
    page = annotator.page
    return {
        "key to next image painted, ms": summary(measures(page, "roost:next")[1:]),  # the first is a cold start
        "click to mask painted, ms": summary(measures(page, "roost:click")),
        "bytes a click": summary([float(count) for count in annotator.click_bytes]),
        "held after each quarter": samples,
    }


def run_crowds(annotator: Annotator) -> dict[str, Any]:
    """Click to mask on one image with more and more masks on it; then pan over all of them."""
    page, found = annotator.page, {}
    for crowd in CROWDS:
        paint_crowd(annotator, crowd)
        before = len(measures(page, "roost:click"))
        for _ in range(CLICKS_A_CROWD):
            annotator.click()
            page.keyboard.press("Escape")
        found[f"click to mask with {crowd} masks, ms"] = summary(measures(page, "roost:click")[before:])
    found["frame while panning over 200 masks, ms"] = summary(pan_frames(page))
    return found


def paint_crowd(annotator: Annotator, crowd: int) -> None:
    """Brush dabs accepted one by one, as a person would make them."""
    page = annotator.page
    page.keyboard.press("b")
    have = int(page.locator("[data-role=count]").inner_text())
    image = annotator.task()["image"]
    for number in range(have, crowd):
        x, y = (number % 20 + 0.5) / 20 * image["width"], (number // 20 + 0.5) / 10 * image["height"]
        page.mouse.click(*annotator.on_screen(x, y))
        page.keyboard.press("Enter")
    page.keyboard.press("v")


def pan_frames(page: Page) -> list[float]:
    page.evaluate(
        """() => {
          window.frames_ms = [];
          let last = performance.now();
          const tick = (now) => { window.frames_ms.push(now - last); last = now; requestAnimationFrame(tick); };
          requestAnimationFrame(tick);
        }"""
    )
    page.mouse.move(500, 400)
    page.mouse.down(button="middle")
    for step in range(60):
        page.mouse.move(500 + 3 * step, 400 + step)
    page.mouse.up(button="middle")
    return page.evaluate("window.frames_ms.slice(1)")


def measure(stack: Stack, tasks: int, pace_ms: int) -> dict[str, Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        mine(browser.new_context().new_page(), stack, tasks)
        page = browser.new_context(viewport=WINDOW).new_page()
        count_bitmaps(page)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        annotator = start_desk(page, stack)
        report = run_tasks(annotator, session, tasks, pace_ms) | run_crowds(annotator)
        browser.close()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--pace-ms", type=int, default=400, help="how long the scripted annotator looks at a mask")
    parser.add_argument("--flat", action="store_true", help="end with status 1 where the tab holds more and more")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    images = ("--easy", str(options.tasks // 2), "--hard", str(options.tasks), "--approved", "4", "--holdout", "4")
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder), demo=images) as stack:
        report = measure(stack, options.tasks, options.pace_ms)
    report["load average"] = [round(value, 1) for value in os.getloadavg()]
    for name, value in report.items():
        print(f"{name:44} {value}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.flat and (grown := growth(report["held after each quarter"])):
        sys.exit(f"The tab does not stay flat: {', '.join(grown)}.")


if __name__ == "__main__":
    main()
