"""Label Studio's brush RLE: a stream of bits that unpacks to the mask's four channels, row by row.

Head: how many values (32 bits), their width less one (5 bits), and four widths less one in which a run's length may be
written (4 bits each). Then runs: a 1, which of the four widths (2 bits), the length less one, the value.
Source: label_studio_sdk/converter/brush.py, read for facts; it unpacks what is written here (tests).
"""

import numpy as np

from annotator.common.masks import Rle, mask_cropped

CHANNELS, VALUE_BITS = 4, 8
LENGTH_BITS = np.array([3, 4, 8, 16])
LONGEST = 1 << 16


def brush_rle(mask: Rle) -> list[int]:
    """The bytes of one mask, as the list of numbers that a task holds."""
    height, width = mask["size"]
    turns = _borders(mask, width)
    borders = np.concatenate([[0], turns * CHANNELS, [height * width * CHANNELS]])
    runs, shades = np.diff(borders), np.arange(borders.size - 1) % 2 * 255
    lengths, values = runs[runs > 0], shades[runs > 0]
    pieces = -(-lengths // LONGEST)
    run = np.repeat(np.arange(lengths.size), pieces)
    sizes = np.full(run.size, LONGEST)
    ends = np.cumsum(pieces) - 1
    sizes[ends] = lengths - (pieces - 1) * LONGEST
    return _packed(height * width * CHANNELS, sizes - 1, values[run])


def _borders(mask: Rle, width: int) -> np.ndarray:
    """Where, row by row, background and object take turns, background first."""
    crop, x0, y0 = mask_cropped(mask)
    if not crop.size:
        return np.zeros(0, dtype=np.int64)
    rows, columns = np.nonzero(np.diff(np.pad(crop, ((0, 0), (1, 1))).astype(np.int8), axis=1))
    places = (rows + y0) * width + columns + x0
    # A run that goes to the right edge and on at the left one is no border.
    meets = np.flatnonzero(places[1:-1:2] == places[2::2]) * 2 + 1
    return np.delete(places, np.concatenate([meets, meets + 1]))


def _packed(count: int, lengths: np.ndarray, values: np.ndarray) -> list[int]:
    """`lengths` are those of the runs less one."""
    which = np.searchsorted(1 << LENGTH_BITS, lengths, side="right")
    length_bits = LENGTH_BITS[which]
    codes = (((4 + which) << length_bits | lengths) << VALUE_BITS) | values
    bits = 3 + length_bits + VALUE_BITS
    head = count << 21 | (VALUE_BITS - 1) << 16 | sum(int(n - 1) << 12 - 4 * k for k, n in enumerate(LENGTH_BITS))
    number = np.repeat(np.arange(codes.size), bits)
    place = np.arange(number.size) - np.repeat(np.cumsum(bits) - bits, bits)
    stream = (codes[number] >> (bits[number] - 1 - place)) & 1
    head_bits = np.frombuffer(f"{head:053b}".encode(), dtype=np.uint8) - ord("0")
    return np.packbits(np.concatenate([head_bits, stream.astype(np.uint8)])).tolist()
