"""A stored mask as the formats want it: its outlines."""

import numpy as np

from annotator.common.masks import Rle, mask_cropped
from annotator.data.formats.outlines import part_outlines, pixel_outline


def mask_polygons(mask: Rle) -> list[list[int]]:
    """[[x, y, x, y, …], …], one polygon a part, along the edges of its pixels; exact where the even-odd rule fills."""
    crop, x0, y0 = mask_cropped(mask)
    return [(line.astype(int) + np.array([x0, y0])).ravel().tolist() for line in part_outlines(crop)]


def mask_line(mask: Rle) -> np.ndarray:
    """One (N, 2) polygon in px that reads the same between the edges of pixels and through the pixels themselves."""
    crop, x0, y0 = mask_cropped(mask)
    return pixel_outline(crop) + np.array([x0, y0])
