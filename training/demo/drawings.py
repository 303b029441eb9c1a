"""Scenes drawn once to disk, so that training reads them in microseconds."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from toolbox.processes import end_with_parent
from training.demo.architecture import CONCEPTS, IMAGE_SIZE_PX
from training.demo.scenes import draw_numbered

MAX_INSTANCES = 8
_CHUNK = 100


@dataclass(frozen=True)
class Drawings:
    """images (N, H, W, 3) uint8; numbers (N, H, W) uint8, 0 background; concepts (N, 8), -1 where there is none;
    deepest (N, 8, 2) int16: each instance's innermost pixel (x, y), where a person clicks first."""

    images: np.ndarray
    numbers: np.ndarray
    concepts: np.ndarray
    deepest: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> Drawings:
        return Drawings(self.images[:count], self.numbers[:count], self.concepts[:count], self.deepest[:count])


def load_or_draw(folder: Path, domain: str, first_seed: int, count: int, processes: int = 2) -> Drawings:
    """Draw seeds first_seed .. first_seed + count - 1 unless that was done before."""
    folder = folder / f"{domain}-{first_seed}-{count}"
    shapes = _shapes(count)
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, (shape, dtype) in shapes.items():
            np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape).flush()
        starts = range(0, count, _CHUNK)
        with ProcessPoolExecutor(processes, initializer=end_with_parent) as pool:
            list(
                pool.map(
                    _draw_chunk,
                    *zip(*[(folder, domain, first_seed, s, min(s + _CHUNK, count)) for s in starts], strict=True),
                )
            )
        (folder / "complete").touch()
    return Drawings(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in shapes})


def _shapes(count: int) -> dict[str, tuple[tuple[int, ...], type]]:
    side = IMAGE_SIZE_PX
    return {
        "images": ((count, side, side, 3), np.uint8),
        "numbers": ((count, side, side), np.uint8),
        "concepts": ((count, MAX_INSTANCES), np.int8),
        "deepest": ((count, MAX_INSTANCES, 2), np.int16),
    }


def _draw_chunk(folder: Path, domain: str, first_seed: int, start: int, stop: int) -> None:
    os.nice(5)
    files = {name: np.load(folder / f"{name}.npy", mmap_mode="r+") for name in _shapes(1)}
    for index in range(start, stop):
        image, numbers, names = draw_numbered(first_seed + index, domain)
        files["images"][index], files["numbers"][index] = image, numbers
        files["concepts"][index] = -1
        for slot, name in enumerate(names):
            files["concepts"][index, slot] = CONCEPTS.index(name)
            files["deepest"][index, slot] = innermost_pixel(numbers == slot + 1)


def innermost_pixel(mask_HW: np.ndarray) -> tuple[int, int]:
    """(x, y) of the pixel farthest from the mask's edge; the picture's own edge counts as one."""
    rows, cols = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    top, left = rows[0], cols[0]
    crop = np.pad(mask_HW[top : rows[-1] + 1, left : cols[-1] + 1], 1)
    y, x = np.unravel_index(np.argmax(distance_transform_edt(crop)), crop.shape)
    return int(x + left - 1), int(y + top - 1)
