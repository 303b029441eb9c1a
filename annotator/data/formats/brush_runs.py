"""Label Studio's brush RLE -> where its object is. It is written in writers/brush.py, which says how it is built."""

import numpy as np

from annotator.common.errors import MaskError
from annotator.common.masks import Rle, encode_crop

from .documents import Size

CHANNELS, VALUE_BITS, HEAD_BITS, WINDOW_BYTES = 4, 8, 53, 5
SHOWN = 127


def unbrushed(packed: bytes, size_px: Size) -> Rle:
    """The pixels whose fourth channel is more than half; MaskError unless it unpacks to exactly this picture."""
    width, height = size_px
    starts, values = _runs(packed, width * height * CHANNELS)
    # The first pixel whose fourth value lies in the run.
    borders = np.append(starts, width * height * CHANNELS) // CHANNELS
    shown = np.array(values) > SHOWN
    first, last = borders[:-1][shown], borders[1:][shown]
    first, last = first[last > first], last[last > first]
    if not first.size:
        return encode_crop(np.zeros((0, 0), dtype=bool), x0=0, y0=0, height_px=height, width_px=width)
    top, bottom = int(first[0]) // width, (int(last[-1]) - 1) // width + 1
    turns = np.zeros((bottom - top) * width + 1, dtype=np.int8)
    np.add.at(turns, first - top * width, 1)
    np.add.at(turns, last - top * width, -1)
    rows = turns[:-1].cumsum(dtype=np.int8).reshape(bottom - top, width)
    columns = np.flatnonzero(rows.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    return encode_crop(rows[:, left:right], x0=left, y0=top, height_px=height, width_px=width)


def _runs(packed: bytes, count: int) -> tuple[list[int], list[int]]:
    """Where each run of equal values begins, and its value; all runs together are `count` values long."""
    head = int.from_bytes(packed[:7], "big") >> 3
    if len(packed) < 8 or head >> 21 != count:
        raise MaskError("Its brush RLE is made for another image's size.")
    if (head >> 16 & 31) != VALUE_BITS - 1:
        raise MaskError("Its brush RLE is damaged: its values are no bytes.")
    widths = [(head >> shift & 15) + 1 for shift in (12, 8, 4, 0)]
    starts, values = list[int](), list[int]()
    at, bit, end = 0, HEAD_BITS, 8 * len(packed)
    padded = packed + bytes(WINDOW_BYTES)
    while at < count:
        window = _window(padded, bit)
        length_bits = widths[window >> 37 & 3]
        length = (window >> (37 - length_bits) & (1 << length_bits) - 1) + 1
        first = bit + 3 + length_bits
        singles = 1 if window >> 39 & 1 else length
        bit = first + VALUE_BITS * singles
        if at + length > count or bit > end:
            raise MaskError("Its brush RLE is damaged: it ends too early, or too late.")
        starts.append(at)
        values.append(window >> (29 - length_bits) & 255)
        for place in range(1, singles):
            starts.append(at + place)
            values.append(_window(padded, first + VALUE_BITS * place) >> 32 & 255)
        at += length
    return starts, values


def _window(padded: bytes, bit: int) -> int:
    """The 40 bits from this one on, in the lowest 40 of the number; that is 1 + 2 + 16 + 8 bits at least."""
    return int.from_bytes(padded[bit >> 3 : (bit >> 3) + WINDOW_BYTES]) << (bit & 7)
