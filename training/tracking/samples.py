"""The fixed pairs of one step as a sheet: what the truth is and what the model sees, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from toolbox.files import make_folder, write_json
from toolbox.pixels import pixels_read
from training import masks
from training.features import image_path
from training.tracking.base import Picture

CELL_PX = 240
LINE_PX = 16
TRUTH, SEEN = (40, 170, 90), (230, 120, 20)
NOT_OF_A_PAIR = ("event", "at", "step")


class SampleSheets:
    """Collects `sample` events; the pairs of one step are complete when something else is told."""

    def __init__(self, images: Path, folder: Path) -> None:
        self._images, self._folder = images, folder
        self._rows: list[dict[str, Any]] = []

    def add(self, event: dict[str, Any]) -> None:
        self._rows.append(event)

    def complete(self) -> Iterator[Picture]:
        rows, self._rows = self._rows, []
        for step in sorted({row["step"] for row in rows}):
            yield self._picture(step, [row for row in rows if row["step"] == step])

    def _picture(self, step: int, rows: list[dict[str, Any]]) -> Picture:
        make_folder(self._folder)
        path = self._folder / f"samples-{step:08d}.json"
        plain = [{name: value for name, value in row.items() if name not in NOT_OF_A_PAIR} for row in rows]
        write_json(path, plain, lasting=False)
        sheet = _stacked([_pair(self._images, row) for row in rows])
        sheet.save(path.with_suffix(".png"))
        return Picture(step, path.with_suffix(".png"), path)


def _pair(images: Path, row: dict[str, Any]) -> Image.Image:
    """Truth in green on the left, what the model sees in orange on the right; both with the phrase and the presence."""
    found = [one["segmentation"] for one in row["instances"]]
    small = _small(images, row)
    cells = [_cell(small, row, row["truth"], TRUTH), _cell(small, row, found, SEEN)]
    sheet = Image.new("RGB", (2 * CELL_PX, cells[0].height + LINE_PX), "white")
    words = f"{row['text_input']}: {len(row['truth'])} there, {len(found)} seen, presence {row['presence']:.2f}"
    ImageDraw.Draw(sheet).text((2, 2), words.encode("ascii", "replace").decode(), fill="black")
    for place, cell in enumerate(cells):
        sheet.paste(cell, (place * CELL_PX, LINE_PX))
    return sheet


def _small(images: Path, row: dict[str, Any]) -> Image.Image:
    """The picture upright, as wide as a cell; shrunk before it is painted on, since originals have up to 100 MP."""
    pixels_HWC = pixels_read(image_path(images, row["image"]), max_pixels=row["width"] * row["height"])
    return Image.fromarray(pixels_HWC).resize((CELL_PX, max(1, round(CELL_PX * row["height"] / row["width"]))))


def _cell(small: Image.Image, row: dict[str, Any], rles: list[Any], colour: tuple[int, int, int]) -> Image.Image:
    painted = np.asarray(small, np.float32).copy()
    for rle in rles:
        mask_HW = masks.decode_rle(rle, height_px=row["height"], width_px=row["width"])
        shrunk_HW = np.asarray(Image.fromarray(mask_HW.astype(np.uint8)).resize(small.size)).astype(bool)
        painted[shrunk_HW] = 0.5 * painted[shrunk_HW] + 0.5 * np.asarray(colour, np.float32)
    return Image.fromarray(painted.astype(np.uint8))


def _stacked(cells: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (2 * CELL_PX, sum(cell.height for cell in cells)), "white")
    top = 0
    for cell in cells:
        sheet.paste(cell, (0, top))
        top += cell.height
    return sheet
