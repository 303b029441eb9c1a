"""Worlds for bench.annotator_hours: frames without labels by round, what is settled already, and what judges.

*feed*: five cameras, each with its own barn, light and noise. A camera shows one scene for a while: frames of it differ
by small steps of the animals and by noise. Most scenes are of the kind that the demo model knows; a tail is not (night
almost, breeds that its training never drew, a painted chicken on the wall, a crowd, a fence), and one more kind of tail
begins in each round. The concept is on a fifth of the known scenes and on half of the tail. *balanced*: 120 easy and
360 hard drawn scenes, all different, in equal parts by round.

All follows from the seed. Pool, holdouts, settled pairs and `val` share no scene.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from toolbox.files import write_json
from training import masks
from training.demo.architecture import CONCEPTS, IMAGE_SIZE_PX
from training.demo.barn import draw_barn, draw_rails
from training.demo.brush import Brush, Canvas
from training.demo.scenes import MIN_VISIBLE_SHARE, OVERSAMPLING, draw_scene
from training.demo.sprites import EASY_BREEDS, HALF_HEIGHT_PX, HARD_BREEDS, draw_sprite

CONCEPT = "chicken"
KNOWN = "known"
# In the order in which they begin: two from the first round on, one more with each round after it.
TAIL = ("dusk", "black breed", "poster", "crowd", "brown breed", "fence", "blur", "barred breed")
CAMERAS, FIRST_KINDS = 5, 2
TAIL_SHARE = 0.15
PREVALENCE = {KNOWN: 0.2, "tail": 0.5}
SETTLED_PREVALENCE = 0.5  # who begins a project labels what shows the concept
BALANCED = {"easy": 120, "hard": 360}
SIDE_PX = IMAGE_SIZE_PX * OVERSAMPLING
DUSK = np.array((0.78, 0.86, 1.1), dtype=np.float32)


@dataclass(frozen=True)
class Sizes:
    """Pairs (one a frame). `frames`: of the feed a round; `repeats`: frames of one scene; `holdout`: of each of two."""

    rounds: int = 4
    frames: int = 400
    repeats: int = 8
    settled: int = 170
    val: int = 60
    holdout: int = 250


@dataclass(frozen=True)
class Frame:
    """A stored picture; `truth` is a COCO RLE of each instance of the concept, `kind` its domain, `scene` whose
    near-duplicate it is."""

    sha256: str
    scene: str
    kind: str
    truth: tuple[masks.Rle, ...]

    @property
    def is_tail(self) -> bool:
        return self.kind not in (KNOWN, "easy")


@dataclass(frozen=True)
class World:
    """`pool` by round; `holdouts` by name: the feed as it comes, and its hard part."""

    images: Path
    pool: list[list[Frame]]
    settled: list[Frame]
    val: list[Frame]
    holdouts: dict[str, list[Frame]]


def world_of(name: str, folder: Path, seed: int, sizes: Sizes) -> World:
    """Drawn once: FOLDER/world.json and FOLDER/images. SystemExit where other sizes were drawn there."""
    file = folder / "world.json"
    asked = {"world": name, "seed": seed, "sizes": asdict(sizes)}
    if not file.exists():
        groups = {"feed": feed, "balanced": balanced}[name](folder / "images", seed, sizes)
        write_json(file, {"asked": asked, "frames": {key: [asdict(one) for one in row] for key, row in groups.items()}})
    kept = json.loads(file.read_text())
    if kept["asked"] != asked:
        raise SystemExit(f"{file} was drawn with {kept['asked']}, not {asked}: name another folder.")
    return _world(folder / "images", kept["frames"], sizes)


def _world(images: Path, rows: dict[str, list[dict[str, Any]]], sizes: Sizes) -> World:
    frames = {key: [Frame(**{**one, "truth": tuple(one["truth"])}) for one in row] for key, row in rows.items()}
    pool = [frames[f"pool {number}"] for number in range(1, sizes.rounds + 1)]
    holdouts = {name: frames[f"holdout {name}"] for name in ("random", "hard")}
    return World(images, pool, frames["settled"], frames["val"], holdouts)


def feed(images: Path, seed: int, sizes: Sizes) -> dict[str, list[Frame]]:
    rng = np.random.default_rng([seed, zlib.crc32(b"feed")])
    scenes = _Scenes(images, rng, f"feed {seed}")
    last = _kinds(sizes.rounds)
    groups = {f"pool {number}": scenes.of_round(_kinds(number), sizes) for number in range(1, sizes.rounds + 1)}
    for name, count in (("settled", sizes.settled), ("val", sizes.val)):
        groups[name] = scenes.single(count, lambda: KNOWN, lambda _kind: SETTLED_PREVALENCE)
    groups["holdout random"] = scenes.single(sizes.holdout, lambda: _kind(rng, last), _prevalence)
    groups["holdout hard"] = scenes.single(sizes.holdout, lambda: str(rng.choice(last)), _prevalence)
    return groups


def _kinds(number: int) -> tuple[str, ...]:
    """Of the tail, those that have begun in this round."""
    return TAIL[: FIRST_KINDS + number - 1]


def _kind(rng: np.random.Generator, tail: Sequence[str]) -> str:
    return str(rng.choice(tail)) if rng.random() < TAIL_SHARE else KNOWN


def _prevalence(kind: str) -> float:
    return PREVALENCE[KNOWN if kind == KNOWN else "tail"]


class _Scenes:
    """Draws the feed's scenes one after the other and stores their frames."""

    def __init__(self, images: Path, rng: np.random.Generator, name: str) -> None:
        self.images, self.rng, self.name = images, rng, name
        self.cameras = [_Camera(rng) for _ in range(CAMERAS)]
        self.drawn = 0

    def of_round(self, tail: Sequence[str], sizes: Sizes) -> list[Frame]:
        """The cameras' frames in sequence, cut at the round's end. The newest kind is there for certain."""
        scenes = -(-sizes.frames // sizes.repeats)
        kinds = [tail[-1], *(_kind(self.rng, tail) for _ in range(scenes - 1))]
        frames = [frame for kind in kinds for frame in self.scene(kind, _prevalence(kind), sizes.repeats)]
        return frames[: sizes.frames]

    def single(self, count: int, kind: Callable[[], str], prevalence: Callable[[str], float]) -> list[Frame]:
        """One frame a scene."""
        kinds = [kind() for _ in range(count)]
        return [frame for one in kinds for frame in self.scene(one, prevalence(one), 1)]

    def scene(self, kind: str, prevalence: float, frames: int) -> list[Frame]:
        camera = self.cameras[int(self.rng.integers(CAMERAS))]
        things = _things(self.rng, kind, self.rng.random() < prevalence, camera.horizon)
        self.drawn += 1
        drawn = camera.frames(things, kind, frames, self.rng)
        return [_stored(image, truth, f"{self.name} {self.drawn}", kind, self.images) for image, truth in drawn]


@dataclass
class _Thing:
    """In the units of a 224 px picture."""

    concept: str
    breed: str
    x: float
    y: float
    half: float
    tilt: float
    is_mirrored: bool
    seed: int

    def step(self, rng: np.random.Generator) -> None:
        """From one frame to the next."""
        self.x, self.y = self.x + rng.normal(0, 1.5), self.y + rng.normal(0, 0.7)
        self.tilt += rng.normal(0, 0.015)


def _things(rng: np.random.Generator, kind: str, is_positive: bool, horizon: float) -> list[_Thing]:
    """Up to three chickens (a crowd: up to six), if any, and up to three other things; far ones first."""
    is_crowd = kind == "crowd"
    names = [CONCEPT] * int(rng.integers(3, 7) if is_crowd else rng.integers(1, 4)) if is_positive else []
    others = [concept for concept in CONCEPTS if concept != CONCEPT]
    names += [str(rng.choice(others)) for _ in range(int(rng.integers(3, 6) if is_crowd else rng.integers(0, 4)))]
    placed: list[_Thing] = []
    for name in names:
        for _ in range(20):
            thing = _thing(rng, name, kind, horizon)
            if all(_gap(thing, other) > (0.5 if is_crowd else 0.92) for other in placed):
                placed.append(thing)
                break
    return sorted(placed, key=lambda thing: thing.y + thing.half)


def _thing(rng: np.random.Generator, concept: str, kind: str, horizon: float) -> _Thing:
    low, high = HALF_HEIGHT_PX[concept]
    near = rng.uniform(0, 1)
    half = low + (high - low) * (0.65 * near + 0.35 * rng.uniform(0, 1))
    foot = (horizon + 0.1 + (0.87 - horizon) * near) * IMAGE_SIZE_PX
    x, tilt = rng.uniform(half, IMAGE_SIZE_PX - half), rng.normal(0, 0.09)
    breed, is_mirrored = _breed(rng, concept, kind), bool(rng.random() < 0.5)
    return _Thing(concept, breed, x, foot - half, half, tilt, is_mirrored, int(rng.integers(2**62)))


def _breed(rng: np.random.Generator, concept: str, kind: str) -> str:
    """A kind that is named for a breed shows it, and its other animals and things are new ones as well."""
    if kind.endswith(" breed"):
        return kind.removesuffix(" breed") if concept == CONCEPT else str(rng.choice(HARD_BREEDS[concept]))
    return str(rng.choice(EASY_BREEDS[concept]))


def _gap(a: _Thing, b: _Thing) -> float:
    """Distance between centres, 1 where two round things of these sizes would just touch."""
    return float(np.hypot(a.x - b.x, a.y - b.y) / (a.half + b.half))


Drawn = tuple[np.ndarray, list[np.ndarray]]  # (H, W, 3) uint8, and the concept's visible masks (H, W) bool


class _Camera:
    """Looks at one barn for ever, with its own light and noise."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.horizon = float(rng.uniform(0.3, 0.46))
        self.gain, self.noise = float(rng.uniform(0.88, 1.1)), float(rng.uniform(1, 4))
        self.barn = draw_barn(SIDE_PX, int(self.horizon * SIDE_PX), 60, rng).picture

    def frames(self, things: list[_Thing], kind: str, count: int, rng: np.random.Generator) -> Iterator[Drawn]:
        """A scene's light, fence and poster stay; things take a step from frame to frame."""
        light, still = self.gain * float(rng.uniform(0.97, 1.03)), int(rng.integers(2**62))
        dusk = DUSK * rng.uniform(0.16, 0.3) * _falls_off(rng.uniform(0.2, 0.8, 2)) if kind == "dusk" else 1.0
        noise = self.noise + (9 if kind in ("dusk", "blur") else 0)
        for _ in range(count):
            picture, truth = self._painted(things, kind, still)
            if kind == "blur":
                picture = picture.filter(ImageFilter.GaussianBlur(2.2))
            pixels = np.asarray(picture, dtype=np.float32) * light * dusk
            pixels = pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * noise
            yield np.clip(pixels, 0, 255).astype(np.uint8), truth
            for thing in things:
                thing.step(rng)

    def _painted(self, things: Sequence[_Thing], kind: str, still: int) -> tuple[Image.Image, list[np.ndarray]]:
        """What is too covered to be labelled fairly is left out, as in the demo's scenes."""
        while True:
            canvas = Canvas(self.barn.copy(), Image.new("L", (SIDE_PX, SIDE_PX), 0))
            if kind == "poster":
                _hang(canvas, self.horizon, np.random.default_rng(still))
            full = [_paint(canvas, number, thing) for number, thing in enumerate(things, start=1)]
            if kind == "fence":
                draw_rails(canvas, SIDE_PX, np.random.default_rng(still))
            numbers = np.asarray(canvas.numbers)[1::OVERSAMPLING, 1::OVERSAMPLING]
            seen = np.bincount(numbers.ravel(), minlength=len(things) + 1)[1:] * OVERSAMPLING**2
            kept = [thing for thing, s, f in zip(things, seen, full, strict=True) if s >= MIN_VISIBLE_SHARE * f]
            if len(kept) == len(things):
                truth = [numbers == n for n, thing in enumerate(things, start=1) if thing.concept == CONCEPT]
                return canvas.picture.resize((IMAGE_SIZE_PX, IMAGE_SIZE_PX), Image.Resampling.BOX), truth
            things = kept


def _hang(canvas: Canvas, horizon: float, rng: np.random.Generator) -> None:
    """The look-alike: a board with a painted chicken, which is none."""
    half, tilt = rng.uniform(26, 34) * OVERSAMPLING, float(rng.normal(0, 0.03))
    x, y = rng.uniform(half, SIDE_PX - half), max(half, horizon * SIDE_PX - 0.6 * half)
    board = (x - 1.15 * half, y - half, x + 1.15 * half, y + half)
    canvas.colour_pen.rectangle(board, fill=(228, 220, 196), outline=(70, 50, 36), width=6)
    mirrored, breed = bool(rng.random() < 0.5), str(rng.choice(EASY_BREEDS[CONCEPT]))
    brush = Brush(canvas, 0, centre_px=(x, y), unit_px=0.8 * half, tilt_rad=tilt, mirrored=mirrored)
    draw_sprite(brush, CONCEPT, breed, rng)


def _paint(canvas: Canvas, number: int, thing: _Thing) -> int:
    """Shadow, then sprite, as in the demo's scenes; the area before anything stands in front of it."""
    centre, unit = (thing.x * OVERSAMPLING, thing.y * OVERSAMPLING), thing.half * OVERSAMPLING
    x, y = centre[0], centre[1] + 0.93 * unit
    canvas.colour_pen.ellipse((x - unit, y - 0.18 * unit, x + unit, y + 0.2 * unit), fill=(112, 86, 52))
    brush = Brush(canvas, number, centre_px=centre, unit_px=unit, tilt_rad=thing.tilt, mirrored=thing.is_mirrored)
    draw_sprite(brush, thing.concept, thing.breed, np.random.default_rng(thing.seed))
    return int(canvas.numbers.histogram()[number])


def _falls_off(spot: np.ndarray) -> np.ndarray:
    """Light falls off away from one lit spot: (H, W, 1)."""
    rows, columns = np.mgrid[:IMAGE_SIZE_PX, :IMAGE_SIZE_PX] / np.float32(IMAGE_SIZE_PX)
    return (1.15 - 0.55 * np.hypot(columns - spot[0], rows - spot[1]))[..., None].astype(np.float32)


def balanced(images: Path, seed: int, sizes: Sizes) -> dict[str, list[Frame]]:
    """`frames` and `repeats` do not matter: 480 different scenes, shuffled and dealt to the rounds."""
    numbers = iter(range(5_000_000 + seed * 10_000, 5_010_000 + seed * 10_000))

    def drawn(domain: str, count: int) -> list[Frame]:
        return [_drawn_scene(next(numbers), domain, images) for _ in range(count)]

    every = [frame for domain, count in BALANCED.items() for frame in drawn(domain, count)]
    order = np.random.default_rng([seed, zlib.crc32(b"balanced")]).permutation(len(every))
    dealt = {f"pool {n + 1}": [every[i] for i in order[n :: sizes.rounds]] for n in range(sizes.rounds)}
    hard = drawn("hard", sizes.holdout)
    share = BALANCED["easy"] / sum(BALANCED.values())
    alike = round(share * sizes.holdout)
    mixed = [*drawn("easy", alike), *drawn("hard", sizes.holdout - alike)]
    base = {"settled": drawn("easy", sizes.settled), "val": drawn("easy", sizes.val)}
    return {**dealt, **base, "holdout random": mixed, "holdout hard": hard}


def _drawn_scene(number: int, domain: str, images: Path) -> Frame:
    scene = draw_scene(number, domain)
    truth = [mask for concept, mask in scene.instances if concept == CONCEPT]
    return _stored(scene.image_HWC, truth, f"{domain} {number}", domain, images)


def _stored(image_HWC: np.ndarray, truth: list[np.ndarray], scene: str, kind: str, images: Path) -> Frame:
    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, "PNG", compress_level=1)
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = images / sha256[:2] / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    return Frame(sha256, scene, kind, tuple(masks.encode_mask(mask) for mask in truth))
