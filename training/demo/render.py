"""`python -m training.demo.render --out DIR --easy N --hard M --seed S`: scenes as PNG files with their truth.

`DIR/truth.json` = {file name: {"domain", "seed", "width", "height", "instances": {concept: [COCO RLE, …]}}}; every
concept is listed, with no masks where the scene has none of it. The same arguments give the same pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from toolbox.files import write_json
from toolbox.processes import end_with_parent
from training.demo.architecture import CONCEPTS
from training.demo.scenes import draw_scene

PROCESSES = 2


def render(out: Path, *, easy: int, hard: int, seed: int) -> None:
    """Draw `easy` scenes from `seed` on, and `hard` ones from the same seeds (another domain, another scene)."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = [("easy", seed + number) for number in range(easy)] + [("hard", seed + number) for number in range(hard)]
    truth = dict(_drawn(out, wanted))
    write_json(out / "truth.json", truth, alone=True)


def _drawn(out: Path, wanted: list[tuple[str, int]]) -> Iterator[tuple[str, dict[str, Any]]]:
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork"), initializer=end_with_parent) as pool:
        yield from pool.map(partial(_draw_one, out), wanted, chunksize=16)


def _draw_one(out: Path, wanted: tuple[str, int]) -> tuple[str, dict[str, Any]]:
    domain, seed = wanted
    scene = draw_scene(seed, domain)
    name = f"{domain}-{seed}.png"
    Image.fromarray(scene.image_HWC).save(out / name, compress_level=3)
    instances: dict[str, list[dict]] = {concept: [] for concept in CONCEPTS}
    for concept, mask_HW in scene.instances:
        instances[concept].append(_rle(mask_HW))
    height, width = scene.image_HWC.shape[:2]
    return name, {"domain": domain, "seed": seed, "width": width, "height": height, "instances": instances}


def _rle(mask_HW: np.ndarray) -> dict[str, Any]:
    encoded = coco.encode(np.asfortranarray(mask_HW, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.demo.render", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--easy", type=int, default=0)
    parser.add_argument("--hard", type=int, default=0)
    parser.add_argument("--seed", type=int, default=2_000_000)
    arguments = parser.parse_args()
    render(arguments.out, easy=arguments.easy, hard=arguments.hard, seed=arguments.seed)


if __name__ == "__main__":
    main()
