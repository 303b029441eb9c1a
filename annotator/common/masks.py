"""COCO RLE and polygons <-> masks. Whatever comes from outside is checked here before pycocotools sees it.

pycocotools trusts its input: runs that do not fill the image come back as stray memory or a crash, and a far-away
polygon point as gigabytes of outline. Stored masks are `{"size": [H, W], "counts": "<compressed COCO RLE>"}` of the
whole image; on the wire they are cropped (docs/contracts.md).
"""

import math
from typing import Any, TypedDict

import numpy as np
from pycocotools import mask as coco

from toolbox import rle as runs_of

from .errors import MaskError

MAX_MASK_PIXELS = 400_000_000
MAX_COUNTS = 20_000_000
MAX_POLYGON_POINTS = 200_000
MAX_OUTLINE_PX = 2_000_000
# Points further out than this are pulled in before clipping, so that intersections stay finite.
FAR_PX = 1e7


class Rle(TypedDict):
    size: list[int]
    counts: str


class WireMask(TypedDict):
    size: list[int]
    crop_xywh: list[int]
    counts: str


def encode_mask(mask_HW: np.ndarray) -> Rle:
    """Compress a (H, W) mask, true or nonzero where the object is."""
    encoded = coco.encode(np.asfortranarray(mask_HW, dtype=np.uint8))
    return {"size": [int(mask_HW.shape[0]), int(mask_HW.shape[1])], "counts": encoded["counts"].decode("ascii")}


def decode_rle(rle: Any) -> np.ndarray:
    """A (H, W) bool mask from a stored RLE; MaskError unless its runs fill exactly H x W pixels."""
    height, width = _size(rle)
    return coco.decode(_for_pycocotools(rle_checked(rle, height_px=height, width_px=width))).astype(bool)


def rle_checked(value: Any, *, height_px: int, width_px: int) -> Rle:
    """COCO RLE from outside, compressed or a list of runs, as stored RLE; MaskError unless it fits the image."""
    if _size(value) != (height_px, width_px):
        raise MaskError(f"The mask is made for {_named_size(value)}, the image has {width_px} x {height_px} px.")
    counts = value.get("counts")
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    if isinstance(counts, str):
        _check_runs(run_lengths(counts), height_px, width_px)
        return {"size": [height_px, width_px], "counts": counts}
    if not isinstance(counts, list):
        raise MaskError("The mask's counts must be a string of compressed COCO RLE or a list of run lengths.")
    runs = _listed_runs(counts)
    _check_runs(runs, height_px, width_px)
    packed = coco.frPyObjects({"size": [height_px, width_px], "counts": runs.tolist()}, height_px, width_px)
    return {"size": [height_px, width_px], "counts": packed["counts"].decode("ascii")}


def run_lengths(counts: str) -> np.ndarray:
    """The runs inside compressed COCO RLE, background first; MaskError where it is none."""
    if len(counts) > MAX_COUNTS:
        raise MaskError(f"The mask has more than {MAX_COUNTS} characters of counts.")
    try:
        return runs_of.run_lengths(counts)
    except runs_of.RleError as error:
        if error.flaw == "digits":
            raise MaskError("The mask's counts hold a number that no image is large enough for.") from None
        raise MaskError("The mask's counts are not compressed COCO RLE.") from None


def mask_cropped(rle: Rle) -> tuple[np.ndarray, int, int]:
    """A stored mask within its own box, (h, w) bool, and the box's left and upper end. The rest is never unpacked."""
    height = rle["size"][0]
    x0, y0, x1, y1 = rle_box_xyxy(rle)
    ends = np.clip(np.cumsum(run_lengths(rle["counts"])), x0 * height, x1 * height)
    lengths = np.diff(ends, prepend=x0 * height)
    columns = np.repeat(np.arange(lengths.size) % 2 > 0, lengths).reshape(x1 - x0, height)
    return columns.T[y0:y1], x0, y0


def encode_crop(crop_HW: np.ndarray, *, x0: int, y0: int, height_px: int, width_px: int) -> Rle:
    """A mask of which only this part, whose first corner is (x0, y0), may hold pixels; what is outside is cut off."""
    left, top = max(-x0, 0), max(-y0, 0)
    within = crop_HW[top : max(height_px - y0, 0), left : max(width_px - x0, 0)]
    columns = np.zeros((within.shape[1], height_px), dtype=bool)
    columns[:, y0 + top : y0 + top + within.shape[0]] = within.T
    turns = np.flatnonzero(np.diff(columns.ravel(), prepend=False, append=False)) + (x0 + left) * height_px
    runs = np.diff(turns, prepend=0, append=height_px * width_px)
    if len(runs) > 1 and runs[-1] == 0:  # it reaches the last pixel
        runs = runs[:-1]
    packed = coco.frPyObjects({"size": [height_px, width_px], "counts": runs.tolist()}, height_px, width_px)
    return {"size": [height_px, width_px], "counts": packed["counts"].decode("ascii")}


def rle_to_wire(rle: Rle) -> WireMask:
    """Crop a stored mask to its own box. Only runs are moved: a mask costs what its border does, not what it covers."""
    height, width = rle["size"]
    x0, y0, x1, y1 = rle_box_xyxy(rle)
    if x0 == x1:
        return {"size": [height, width], "crop_xywh": [0, 0, 0, 0], "counts": ""}
    columns, rows, lengths = _strips(rle)
    crop = _from_strips(columns - x0, rows - y0, lengths, height_px=y1 - y0, width_px=x1 - x0)
    return {"size": [height, width], "crop_xywh": [x0, y0, x1 - x0, y1 - y0], "counts": crop["counts"]}


def wire_to_rle(wire: Any, *, height_px: int, width_px: int) -> Rle:
    """A wire mask as stored RLE; MaskError unless it is made for an image of exactly this size."""
    if _size(wire) != (height_px, width_px):
        raise MaskError(f"The mask is made for {_named_size(wire)}, the image has {width_px} x {height_px} px.")
    crop = wire.get("crop_xywh")
    if not isinstance(crop, list) or len(crop) != 4 or any(type(value) is not int or value < 0 for value in crop):
        raise MaskError("The mask's crop_xywh must be four whole numbers of 0 or more.")
    x, y, w, h = crop
    if x + w > width_px or y + h > height_px:
        raise MaskError(f"The mask's crop {crop} reaches beyond the image of {width_px} x {height_px} px.")
    if w * h == 0 and wire.get("counts"):
        raise MaskError("The mask's crop is empty, but it has counts.")
    if w * h == 0:
        return _from_strips(*np.zeros((3, 0), dtype=np.int64), height_px=height_px, width_px=width_px)
    inner = rle_checked({"size": [h, w], "counts": wire.get("counts")}, height_px=h, width_px=w)
    columns, rows, lengths = _strips(inner)
    return _from_strips(columns + x, rows + y, lengths, height_px=height_px, width_px=width_px)


def polygons_to_rle(polygons: Any, *, height_px: int, width_px: int) -> Rle:
    """Fill [[x0, y0, x1, y1, …], …] (one object's parts); what lies outside the image is cut off."""
    _check_area(height_px, width_px)
    if not isinstance(polygons, list) or not polygons:
        raise MaskError("A polygon mask must be a list of at least one polygon.")
    outlines = [polygon_clipped(_points(polygon), height_px=height_px, width_px=width_px) for polygon in polygons]
    outlines = [points for points in outlines if len(points) >= 3]
    longest_px = max(height_px, width_px) * sum(len(points) for points in outlines)  # no edge leaves the image
    if longest_px > MAX_OUTLINE_PX and sum(_outline_px(points) for points in outlines) > MAX_OUTLINE_PX:
        raise MaskError(f"The polygon's outline is longer than {MAX_OUTLINE_PX} px; simplify it.")
    if not outlines:
        return encode_mask(np.zeros((height_px, width_px), dtype=np.uint8))
    parts = coco.frPyObjects([points.ravel().tolist() for points in outlines], height_px, width_px)
    return {"size": [height_px, width_px], "counts": coco.merge(parts)["counts"].decode("ascii")}


def polygon_clipped(points_N2: np.ndarray, *, height_px: int, width_px: int) -> np.ndarray:
    """Cut a polygon at the image's four edges, one edge after the other (Sutherland and Hodgman, 1974)."""
    if points_N2.min() >= 0 and (points_N2.max(axis=0) <= (width_px, height_px)).all():
        return points_N2
    points = np.clip(points_N2, -FAR_PX, FAR_PX)
    for axis, limit, sign in ((0, 0.0, 1.0), (0, float(width_px), -1.0), (1, 0.0, 1.0), (1, float(height_px), -1.0)):
        depth = sign * (points[:, axis] - limit)
        if not len(points) or (depth >= 0).all():
            continue
        points = _cut(points, depth)
        points[:, axis] = np.clip(points[:, axis], *((limit, None) if sign > 0 else (None, limit)))
    return points


def rle_area(rle: Rle) -> int:
    return int(coco.area(_for_pycocotools(rle)))


def rle_box_xyxy(rle: Rle) -> tuple[int, int, int, int]:
    """The tight box in pixels, x1 and y1 exclusive; all zero for an empty mask."""
    x, y, w, h = (int(value) for value in coco.toBbox(_for_pycocotools(rle)))
    return (x, y, x + w, y + h) if w * h else (0, 0, 0, 0)


def rle_iou(first: Rle, second: Rle) -> float:
    """Overlap of two stored masks of one image; 0 when both are empty."""
    if list(first["size"]) != list(second["size"]):
        raise MaskError("Masks of two different image sizes can't be compared.")
    return float(coco.iou([_for_pycocotools(first)], [_for_pycocotools(second)], [0])[0][0])


def _strips(rle: Rle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mask as vertical strips, each within one column, in order: (column, first row, length)."""
    height = rle["size"][0]
    borders = np.cumsum(run_lengths(rle["counts"]))
    starts, ends = borders[:-1:2], borders[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    first, last = starts // height, (ends - 1) // height
    pieces = last - first + 1
    run = np.repeat(np.arange(len(starts)), pieces)
    columns = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    tops = np.maximum(starts[run], columns * height)
    return columns, tops - columns * height, np.minimum(ends[run], (columns + 1) * height) - tops


def _from_strips(columns: np.ndarray, rows: np.ndarray, lengths: np.ndarray, *, height_px: int, width_px: int) -> Rle:
    starts = columns * height_px + rows
    ends = starts + lengths
    apart = starts[1:] != ends[:-1]
    starts, ends = starts[np.append(True, apart)[: len(starts)]], ends[np.append(apart, True)[: len(ends)]]
    total = height_px * width_px
    runs = np.diff(np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [total]]))
    if len(starts) and ends[-1] == total:
        runs = runs[:-1]
    packed = coco.frPyObjects({"size": [height_px, width_px], "counts": runs.tolist()}, height_px, width_px)
    return {"size": [height_px, width_px], "counts": packed["counts"].decode("ascii")}


def _for_pycocotools(rle: Rle) -> dict:
    return {"size": list(rle["size"]), "counts": rle["counts"].encode("ascii")}


def _size(value: Any) -> tuple[int, int]:
    size = value.get("size") if isinstance(value, dict) else None
    if not isinstance(size, list | tuple) or len(size) != 2 or any(type(side) is not int for side in size):
        raise MaskError("A mask needs its size, [height, width] in whole pixels.")
    _check_area(*size)
    return size[0], size[1]


def _check_area(height_px: int, width_px: int) -> None:
    if height_px <= 0 or width_px <= 0 or height_px * width_px > MAX_MASK_PIXELS:
        raise MaskError(f"A mask of {width_px} x {height_px} px is no mask that Roost can hold.")


def _named_size(value: dict) -> str:
    height, width = value["size"]
    return f"{width} x {height} px"


def _check_runs(runs: np.ndarray, height_px: int, width_px: int) -> None:
    if not len(runs) or runs.min() < 0:
        raise MaskError("The mask's runs must be whole numbers of 0 or more.")
    total = int(runs.sum())
    if total != height_px * width_px or int(runs.max()) > total:
        raise MaskError(f"The mask's runs add up to {total} px, the image has {width_px} x {height_px}.")


def _listed_runs(counts: list) -> np.ndarray:
    if len(counts) > MAX_COUNTS or any(type(run) is not int or not 0 <= run <= MAX_MASK_PIXELS for run in counts):
        raise MaskError("The mask's runs must be whole numbers of 0 or more, none larger than an image.")
    return np.array(counts, dtype=np.int64)


def _points(polygon: Any) -> np.ndarray:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise MaskError("A polygon must list at least three points as x, y, x, y, …")
    if len(polygon) > 2 * MAX_POLYGON_POINTS:
        raise MaskError(f"A polygon may have {MAX_POLYGON_POINTS} points at most; simplify it.")
    if not all(type(value) in (int, float) and math.isfinite(value) for value in polygon):
        raise MaskError("A polygon's coordinates must be finite numbers.")
    return np.array(polygon, dtype=np.float64).reshape(-1, 2)


def _outline_px(points_N2: np.ndarray) -> float:
    return float(np.abs(points_N2 - np.roll(points_N2, 1, axis=0)).max(axis=1).sum())


def _cut(points_N2: np.ndarray, depth_N: np.ndarray) -> np.ndarray:
    """Keep what is at depth >= 0, with a new point wherever the outline crosses depth 0."""
    following, following_depth = np.roll(points_N2, -1, axis=0), np.roll(depth_N, -1)
    crosses = (depth_N >= 0) != (following_depth >= 0)
    share = np.where(crosses, depth_N / np.where(crosses, depth_N - following_depth, 1.0), 0.0)
    crossings = points_N2 + share[:, None] * (following - points_N2)
    both = np.stack([points_N2, crossings], axis=1).reshape(-1, 2)
    return both[np.stack([depth_N >= 0, crosses], axis=1).ravel()]
