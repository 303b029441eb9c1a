"""Batches for the world stage: pictures, what lies at each of the ViT's cells, and clicks with their true masks.

Legend: B images, P prompts an image, N points a prompt, G = 64 cells a side (four to a token).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from training.demo.architecture import GRID, IMAGE_SIZE_PX
from training.demo.drawings import Drawings

CELLS = 4 * GRID
PAD, NEGATIVE, POSITIVE = -10, 0, 1
_CENTRES = ((np.arange(CELLS) + 0.5) * IMAGE_SIZE_PX / CELLS).astype(int)


@dataclass
class WorldBatch:
    """pixels (B, 3, H, W) in -1..1; numbers_BGG instance numbers; concepts_BGG 0 background, 1.. concept, -1 untaught;
    extents_B4GG distances from a cell to its instance's left, top, right, bottom, in image sides;
    masks_BPGG bool; points_BPN2 px; labels_BPN; boxes_BP4 px; has_prompt_BP is False on pictures without objects."""

    pixels: torch.Tensor
    numbers: torch.Tensor
    concepts: torch.Tensor
    extents: torch.Tensor
    masks: torch.Tensor
    points: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor
    has_prompt: torch.Tensor


def make_batch(domains: list[Drawings], rows: list[np.ndarray], prompts: int, rng: np.random.Generator) -> WorldBatch:
    """Pictures rows[d] of domains[d]; only domains[0] tells its concepts."""
    parts = []
    for domain, (drawings, indices) in enumerate(zip(domains, rows, strict=True)):
        for index in indices:
            parts.append(_one_picture(drawings, int(index), domain == 0, prompts, rng))
    stacked = [np.stack(column) for column in zip(*parts, strict=True)]
    pixels, *rest = [torch.from_numpy(array) for array in stacked]
    return WorldBatch(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1, *rest)


def _one_picture(drawings: Drawings, index: int, taught: bool, prompts: int, rng: np.random.Generator) -> tuple:
    mirrored = rng.random() < 0.5
    image, numbers = drawings.images[index], drawings.numbers[index]
    deepest = drawings.deepest[index].astype(np.int64)
    if mirrored:
        image, numbers = image[:, ::-1], numbers[:, ::-1]
        deepest = np.stack([IMAGE_SIZE_PX - 1 - deepest[:, 0], deepest[:, 1]], axis=1)
    small = small_numbers(numbers)
    lookup = np.concatenate([[0], drawings.concepts[index] + 1]).astype(np.int64)
    concepts = lookup[small] if taught else np.full(small.shape, -1, np.int64)
    boxes = boxes_by_number(numbers)
    return (
        np.ascontiguousarray(image),
        small.astype(np.int64),
        concepts,
        _extents(small, boxes),
        *_prompts(numbers, small, boxes, deepest, prompts, rng),
    )


def small_numbers(numbers_HW: np.ndarray) -> np.ndarray:
    """The instance number at each cell's centre."""
    return numbers_HW[_CENTRES][:, _CENTRES]


def boxes_by_number(numbers_HW: np.ndarray) -> dict[int, np.ndarray]:
    """xyxy in pixels, exclusive at the far side."""
    boxes = {}
    for number in range(1, int(numbers_HW.max()) + 1):
        mask = numbers_HW == number
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            boxes[number] = np.array([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1], dtype=np.float32)
    return boxes


def _extents(small: np.ndarray, boxes: dict[int, np.ndarray]) -> np.ndarray:
    table = np.zeros((9, 4), dtype=np.float32)
    for number, box in boxes.items():
        table[number] = box / IMAGE_SIZE_PX
    per_cell = table[small].transpose(2, 0, 1)
    at = (np.arange(CELLS, dtype=np.float32) + 0.5) / CELLS
    x, y = at[None, :], at[:, None]
    return np.stack([x - per_cell[0], y - per_cell[1], per_cell[2] - x, per_cell[3] - y])


def _prompts(
    numbers: np.ndarray,
    small: np.ndarray,
    boxes: dict[int, np.ndarray],
    deepest: np.ndarray,
    prompts: int,
    rng: np.random.Generator,
) -> tuple:
    masks = np.zeros((prompts, CELLS, CELLS), dtype=bool)
    points = np.zeros((prompts, 3, 2), dtype=np.float32)
    labels = np.full((prompts, 3), PAD, dtype=np.int64)
    frames = np.zeros((prompts, 4), dtype=np.float32)
    if boxes:
        order = rng.permutation(list(boxes))
        for p in range(prompts):
            number = int(order[p % len(order)])
            masks[p] = small == number
            points[p], labels[p] = _clicks(numbers, number, boxes[number], deepest[number - 1], rng)
            frames[p] = boxes[number] + rng.normal(0, 3, 4)
    return masks, points, labels, frames, np.full(prompts, bool(boxes))


def _clicks(
    numbers: np.ndarray, number: int, box: np.ndarray, deepest: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One foreground point, near the deepest pixel or anywhere; often one or two more, of either kind."""
    points, labels = np.zeros((3, 2), dtype=np.float32), np.full(3, PAD, dtype=np.int64)
    points[0], labels[0] = _inside(numbers, number, box, deepest, rng), POSITIVE
    extra = rng.choice(3, p=[0.65, 0.2, 0.15])
    for slot in range(1, 1 + extra):
        if rng.random() < 0.5:
            points[slot], labels[slot] = _inside(numbers, number, box, deepest, rng), POSITIVE
        else:
            outside = _outside(numbers, number, box, rng)
            if outside is not None:
                points[slot], labels[slot] = outside, NEGATIVE
    return points, labels


def _inside(
    numbers: np.ndarray, number: int, box: np.ndarray, deepest: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    spread = 0.06 * float(max(box[2] - box[0], box[3] - box[1]))
    for attempt in range(12):
        near = attempt == 0 and rng.random() < 0.6
        x, y = (deepest + rng.normal(0, spread, 2) if near else rng.uniform(box[:2], box[2:])).astype(int)
        if 0 <= x < IMAGE_SIZE_PX and 0 <= y < IMAGE_SIZE_PX and numbers[y, x] == number:
            return np.array([x, y], dtype=np.float32)
    return deepest.astype(np.float32)


def _outside(numbers: np.ndarray, number: int, box: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    for _ in range(12):
        x, y = rng.uniform(box[:2] - 12, box[2:] + 12).astype(int).clip(0, IMAGE_SIZE_PX - 1)
        if numbers[y, x] != number:
            return np.array([x, y], dtype=np.float32)
    return None
