"""The desk's stage for browser tests: drawn scenes in the queue, a real ML backend process, a real browser."""

import atexit
import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import httpx
import numpy as np
import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from PIL import Image as PillowImage
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from pycocotools import mask as coco_mask
from scipy import ndimage

from annotator import ml_client
from annotator.data.image_store import image_add
from annotator.models import Annotation, Pair, Task
from tests import factories
from tests.processes import PATIENCE_S, wait_until
from training.demo.scenes import Scene, draw_scene

CHICKENS = 2_000_003  # seeds of drawn easy scenes, found by looking
ALSO_CHICKENS = 2_000_007
DEAD_BACKEND = "http://127.0.0.1:9"
ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("ROOST_CHROMIUM", "/usr/bin/chromium")
# Playwright's loop runs in the test's own thread; the ORM is used between its calls, never inside them.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"


def visit(page: Page, address: str) -> None:
    """Go there, also when the page at hand refreshes itself at that very moment because its job has ended."""
    try:
        page.goto(address)
    except PlaywrightError as error:
        if "ERR_ABORTED" not in error.message and "interrupted by another navigation" not in error.message:
            raise
        page.goto(address)


@pytest.fixture(scope="session")
def backend_url() -> Iterator[str]:
    """A real ML backend with the shipped demo model, on the tests' image folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "ROOST_MLBACKEND_PORT": str(port), "ROOST_VAR": str(django_settings.VAR_DIR)}
    process = subprocess.Popen([sys.executable, "-m", "mlbackend"], cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        # One client for all asking: a new one reads every certificate of the machine first.
        with httpx.Client(trust_env=False) as client:
            wait_until(lambda: _is_ready(client, url))
        yield url
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)


def _is_ready(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def chromium() -> Browser:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}: install Debian's chromium, or set ROOST_CHROMIUM")
    return _browser()


@cache
def _browser() -> Browser:
    """One for the process: each module that imports the fixture has a session of its own, Playwright allows one."""
    playwright = sync_playwright().start()
    atexit.register(playwright.stop)
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@dataclass
class Stage:
    """The barn with scenes to queue; `desk_for(user)` opens a desk in a browser of that user's own."""

    barn: factories.Barn
    url: str
    browser: Browser
    troubles: list[str]

    def add_task(self, seed: int, *, priority: float = 0.0, side_px: int = 224) -> tuple[Task, Scene]:
        """A drawn easy scene in the queue, with what the backend proposes for it."""
        scene = draw_scene(seed, "easy", side_px)
        file = io.BytesIO()
        PillowImage.fromarray(scene.image_HWC).save(file, "PNG")
        file.seek(0)
        project = self.barn.project
        image, _ = image_add(project=project, stream=file, name=f"easy-{seed}.png", split="train")
        version = project.serving_version
        [found] = ml_client.predict(model_version=version.name, images=[image], concepts=["chicken"], score_threshold=0)
        concept = found.concepts["chicken"]
        instances = [
            {"mask": one.mask, "box": one.box, "score": one.score, "query_score": 1.0, "stability": one.stability}
            for one in concept.instances[:3]
        ]
        pair = Pair.objects.get(image=image, concept=self.barn.chicken)
        factories.make_prediction(pair, concept.presence, instances, feature=found.feature)
        return factories.make_task(project, pair, priority=priority), scene

    def page_for(self, user: object, address: str) -> Page:
        context = self.browser.new_context(viewport={"width": 1280, "height": 720})
        context.set_default_timeout(1000 * PATIENCE_S)
        context.add_cookies([{"name": "sessionid", "value": _session(user), "url": self.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda line: self._note(line.text) if line.type == "error" else None)
        page.goto(f"{self.url}/p/{self.barn.project.slug}/{address}")
        return page

    def _note(self, text: str) -> None:
        # The browser reports every refused request itself; tests look at what the desk says about those.
        if "Failed to load resource" not in text:
            self.troubles.append(text)

    def desk_for(self, user: object = None) -> "Desk":
        page = self.page_for(user or self.barn.annotator, "desk/")
        page.get_by_role("button", name="Start").click()
        return Desk(page)


@pytest.fixture
def stage(live_server, barn, settings, backend_url, chromium) -> Iterator[Stage]:
    settings.MLBACKEND_URL = backend_url
    made = Stage(barn, live_server.url, chromium, [])
    yield made
    for context in chromium.contexts:
        context.close()
    assert made.troubles == []
    connection.close()


def chickens_of(scene: Scene) -> list[np.ndarray]:
    return [mask for concept, mask in scene.instances if concept == "chicken"]


def submitted(count: int = 1) -> Annotation:
    """The newest annotation once there are `count`."""
    wait_until(lambda: Annotation.objects.count() == count)
    return Annotation.objects.latest("pk")


def _session(user: object) -> str:
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()
    return session.session_key


class Desk:
    """Hands and eyes at a desk: image points instead of screen points."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @cached_property
    def cdp(self) -> CDPSession:
        """The browser's own protocol: fingers and pens, which Playwright has no calls for."""
        return self.page.context.new_cdp_session(self.page)

    def role(self, name: str):
        return self.page.locator(f"[data-role={name}]")

    def says(self, words: str) -> None:
        """Wait until the status line says so."""
        self.page.wait_for_function(
            "words => document.querySelector('[data-role=status]').textContent.includes(words)", arg=words
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def on_screen(self, x: float, y: float, side_px: int = 224) -> tuple[float, float]:
        """Where an image point of a square image that fits the stage lies in the window."""
        box = self.role("stage").bounding_box()
        scale = min(box["width"] - 32, box["height"] - 32) / side_px
        half = side_px / 2
        return box["x"] + box["width"] / 2 + (x - half) * scale, box["y"] + box["height"] / 2 + (y - half) * scale

    def click(self, x: float, y: float, button: str = "left") -> None:
        self.page.mouse.click(*self.on_screen(x, y), button=button)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.on_screen(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.on_screen(*end), steps=6)
        self.page.mouse.up()

    def ink_at(self, x: float, y: float, layer: str = "live") -> int:
        """The alpha of a canvas at an image point: what was really painted."""
        screen_x, screen_y = self.on_screen(x, y)
        return self.page.evaluate(
            """([layer, x, y]) => {
              const canvas = document.querySelector(`canvas[data-layer=${layer}]`);
              const box = canvas.getBoundingClientRect();
              return canvas.getContext("2d").getImageData(x - box.left, y - box.top, 1, 1).data[3];
            }""",
            [layer, screen_x, screen_y],
        )

    def paints(self, x: float, y: float, holds: Callable[[int], bool], layer: str = "live") -> None:
        """Wait until the ink at an image point is so: what is asked for is painted with a later frame."""
        wait_until(lambda: holds(self.ink_at(x, y, layer)))

    def next_frame(self) -> None:
        """All input so far has been handled, and the frame that shows it is painted."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def instance_count(self) -> int:
        return int(self.role("count").inner_text())


def press_until(page: Page, key: str, holds: Callable[[], bool]) -> None:
    """Again after two seconds: the desk asks back about undecided proposals and takes no quick second press; and a key
    that is pressed before a page's first frame is shown can be lost."""
    for _ in range(int(PATIENCE_S / 2)):
        page.keyboard.press(key)
        with suppress(AssertionError):
            return wait_until(holds, seconds=2)
    raise AssertionError(f"{key} did nothing: {Desk(page).role('status').inner_text()}")


def deepest_pixel(mask_hw: np.ndarray) -> tuple[float, float]:
    """The middle of the pixel furthest from the border."""
    depth = ndimage.distance_transform_edt(np.pad(mask_hw, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5


def decode(rle: dict) -> np.ndarray:
    """By pycocotools itself, not by our codec."""
    return coco_mask.decode(rle).astype(bool)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))
