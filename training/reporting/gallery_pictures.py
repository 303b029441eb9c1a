"""Truth and prediction side by side as small JPEGs in a file of its own: data URIs, so that it needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolbox.pixels import PixelsError, picture_opened, rgb_upright
from training import masks
from training.errors import Refused

SIDE_PX = 360
QUALITY = 80
# As on the pages: found, made up, missed; and not by colour alone: filled, dashed, dotted.
LOOKS = {
    "truth": ((255, 255, 255), 0.25, 0),
    "hit": ((77, 177, 255), 0.3, 0),
    "false": ((255, 106, 92), 0.0, 12),
    "missed": ((255, 213, 74), 0.0, 5),
}


def pictures_of(entry: Mapping[str, Any], images: Path, *, max_pixels: int) -> tuple[str, str]:
    """Data URIs: the truth, and what the model drew with what it missed."""
    plain_HWC = _read(images, entry["image"], max_pixels)
    height, width = plain_HWC.shape[:2]
    truth = [("truth", mask) for mask in entry["truth"]]
    drawn = [(one["kind"], one["mask"]) for one in entry["found"]] + [("missed", mask) for mask in entry["missed"]]
    return tuple(_uri(_painted(plain_HWC, side, (height, width))) for side in (truth, drawn))  # type: ignore[return-value]


def _read(images: Path, image: str, max_pixels: int) -> np.ndarray:
    plain = images / image[:2] / image
    path = plain if plain.is_file() else next(plain.parent.glob(f"{image}.*"), plain)
    if not path.is_file():
        raise Refused("absent_image", f"Image {image} is not in the image folder {images}.")
    try:
        with picture_opened(path, max_pixels=max_pixels, at_least_px=SIDE_PX) as opened:
            upright = rgb_upright(opened)
            scale = min(1.0, SIDE_PX / max(upright.size))
            size = (max(1, round(upright.width * scale)), max(1, round(upright.height * scale)))
            return np.asarray(upright.resize(size, Image.Resampling.LANCZOS), np.uint8)
    except PixelsError as error:
        raise Refused("unreadable_image", f"Image {image} cannot be decoded: {error}.") from None


def _painted(plain_HWC: np.ndarray, looks: Sequence[tuple[str, masks.Rle]], size_hw: tuple[int, int]) -> np.ndarray:
    painted = plain_HWC.astype(np.float32)
    for kind, rle in looks:
        colour, fill, dash = LOOKS[kind]
        mask_HW = _at_size(rle, size_hw)
        painted[mask_HW] = (1 - fill) * painted[mask_HW] + fill * np.array(colour, np.float32)
        edge_HW = _edge(mask_HW)
        painted[_grown(edge_HW)] *= 0.35  # a dark line under the bright one, so that it shows on snow as well
        if dash:
            rows, columns = np.indices(edge_HW.shape)
            edge_HW &= (rows + columns) % dash < 0.6 * dash
        painted[edge_HW] = colour
    return painted.clip(0, 255).astype(np.uint8)


def _at_size(rle: masks.Rle, size_hw: tuple[int, int]) -> np.ndarray:
    height, width = rle["size"]
    mask_HW = masks.decode_rle(rle, height_px=height, width_px=width)
    whole = Image.fromarray(mask_HW.astype(np.uint8) * 255)
    return np.asarray(whole.resize((size_hw[1], size_hw[0]), Image.Resampling.BOX)) >= 128


def _edge(mask_HW: np.ndarray) -> np.ndarray:
    """The object's outermost pixels."""
    padded = np.pad(mask_HW, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask_HW & ~inside


def _grown(mask_HW: np.ndarray) -> np.ndarray:
    padded = np.pad(mask_HW, 1)
    return padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:] | mask_HW


def _uri(picture_HWC: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture_HWC).save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
