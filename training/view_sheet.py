"""The contact sheet of a run that looks at drawn views: some training images, each in its views, as they are learned.

So that a person sees before a GPU hour is spent whether the masks fit and whether the views are still the thing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toolbox.events import Event
from toolbox.files import write_bytes
from training import masks
from training.dataset import Pair
from training.events import Events
from training.token_source import TokenSource
from training.view_pixels import GROUND, cut, relit, square
from training.views import View, Views, suits, view_words

SHEET = "views.png"
ROWS, COLUMNS = 6, 8
CELL_PX, GAP_PX, LABEL_PX = 220, 6, 20
OBJECT = (40, 200, 110)


def show_views(views: Views, pairs: Sequence[Pair], features: TokenSource, folder: Path, events: Events) -> None:
    """folder/views.png and a `views` event; nothing where no view is drawn."""
    if not views.drawn:
        return
    shown = _spread(pairs)
    rows = [_row(features, pair, views.of_pair(pair)[:COLUMNS]) for pair in shown]
    sheet = _stacked(rows)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_bytes(folder / SHEET, buffer.getvalue(), alone=True)
    events(
        Event.VIEWS,
        path=str((folder / SHEET).resolve()),
        size_px=list(sheet.size),
        mirror=views.mirror,
        drawn=views.drawn,
        images=len({pair.image for pair in pairs}),
        **_passed_over(views, pairs),
        rows=[_told(pair, views.of_pair(pair)[:COLUMNS]) for pair in shown],
    )


def _spread(pairs: Sequence[Pair]) -> list[Pair]:
    """A positive of each of some images, evenly over their hashes."""
    by_image = {pair.image: pair for pair in sorted(pairs, key=lambda pair: pair.phrase) if pair.is_positive}
    ordered = [by_image[image] for image in sorted(by_image)]
    return [ordered[place * len(ordered) // ROWS] for place in range(ROWS)] if len(ordered) > ROWS else ordered


def _passed_over(views: Views, pairs: Sequence[Pair]) -> dict[str, int]:
    """Of all looks at a positive in a drawn view those in place of which another is taken: too little is left."""
    positives = [pair for pair in pairs if pair.is_positive]
    misses = sum(not suits(pair, view) for pair in positives for view in views.of_pair(pair))
    return {"looks": len(positives) * views.drawn, "passed_over": misses}


def _told(pair: Pair, views: Sequence[View]) -> dict[str, Any]:
    size = {"width_px": pair.width_px, "height_px": pair.height_px}
    said = [{"words": view_words(view, **size), "taken": suits(pair, view)} for view in views]
    return {"image": pair.image, "text_input": pair.phrase, "views": said}


def _row(features: TokenSource, pair: Pair, views: Sequence[View]) -> list[Image.Image]:
    picture_HWC = features.picture(pair.image)
    size = {"height_px": pair.height_px, "width_px": pair.width_px}
    drawn = [masks.decode_rle(instance.rle, **size) for instance in pair.instances]
    side = features.model.network.image_size_px
    return [_cell(picture_HWC, drawn, pair, view, side) for view in views]


def _cell(picture_HWC: np.ndarray, drawn: list[np.ndarray], pair: Pair, view: View, side_px: int) -> Image.Image:
    """As the network sees it, in the view's own proportions, with what is there in green and a line about the view."""
    part_HWC = cut(picture_HWC, view, beyond=GROUND)
    seen = Image.fromarray(relit(square(part_HWC, side_px), view))
    size = CELL_PX, max(LABEL_PX, round(CELL_PX * part_HWC.shape[0] / part_HWC.shape[1]))
    painted = np.asarray(seen.resize(size), np.float32).copy()
    for mask_HW in drawn:
        part = Image.fromarray(cut(mask_HW, view, beyond=False).astype(np.uint8) * 255)
        shrunk_HW = np.asarray(part.resize(size)) >= 128
        painted[shrunk_HW] = 0.55 * painted[shrunk_HW] + 0.45 * np.asarray(OBJECT, np.float32)
    words = view_words(view, width_px=pair.width_px, height_px=pair.height_px)
    is_taken = suits(pair, view)
    cell = Image.fromarray((painted * (1 if is_taken else 0.35)).astype(np.uint8))
    return _labelled(cell, words if is_taken else "not taken: too little is left")


def _labelled(cell: Image.Image, words: str) -> Image.Image:
    """White on black below the picture, legible on a page in either scheme."""
    whole = Image.new("RGB", (cell.width, cell.height + LABEL_PX), (24, 26, 28))
    whole.paste(cell, (0, 0))
    font = ImageFont.load_default(12)
    ImageDraw.Draw(whole).text((5, cell.height + 3), words, fill="white", font=font)
    return whole


def _stacked(rows: list[list[Image.Image]]) -> Image.Image:
    """One image a row; between cells the page shows through."""
    heights = [max(cell.height for cell in row) for row in rows]
    width = max(len(row) for row in rows) * (CELL_PX + GAP_PX) - GAP_PX
    sheet = Image.new("RGBA", (width, sum(heights) + GAP_PX * (len(rows) - 1)), (0, 0, 0, 0))
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for place, cell in enumerate(row):
            sheet.paste(cell, (place * (CELL_PX + GAP_PX), top))
        top += height + GAP_PX
    return sheet
