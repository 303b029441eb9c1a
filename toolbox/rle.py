"""The runs inside compressed COCO RLE, checked: pycocotools trusts its input, so what comes from outside is read here.

Source: COCO's maskApi.c, rleFrString: six-bit characters from '0', five bits of value each, little end first, bit 5
"more follows", bit 4 of the last one the sign; from the fourth run on a value is added to the run two before.
"""

from typing import Literal

import numpy as np

# Seven characters of five bits: no image has 2^35 pixels.
MAX_DIGITS = 7

Flaw = Literal["alphabet", "cut", "digits"]


class RleError(ValueError):
    """Counts that are no COCO RLE. `flaw`: a character that is none of its, an end within a number, a huge number."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw)
        self.flaw = flaw


def run_lengths(counts: str | bytes) -> np.ndarray:
    """The runs of one mask, int64, background first; they may still be negative or fill another size. RleError."""
    text = counts.encode("utf-8", "surrogatepass") if isinstance(counts, str) else counts
    if not text:
        return np.zeros(0, dtype=np.int64)
    runs, _ = _values(text, np.array([len(text) - 1]))
    for side in (1, 2):
        np.cumsum(runs[side::2], out=runs[side::2])
    return runs


def run_lengths_joined(text: bytes, lengths_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of M masks, concatenated, and where each mask's first run is; `text` joins their counts, none empty.

    Fastest on some ten thousand characters at a time: more of them leave the processor's cache.
    """
    last_code_M = np.cumsum(lengths_M) - 1
    values, end_codes = _values(text, last_code_M)
    first_run_M = np.concatenate([[0], np.searchsorted(end_codes, last_code_M)[:-1] + 1])
    return _undo_differences(values, first_run_M), first_run_M


def _values(text: bytes, last_code_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers as they are written, and where each ends."""
    codes = np.frombuffer(text, dtype=np.uint8) - np.uint8(48)  # wraps below '0', to far above 63
    if codes.max() > 63:
        raise RleError("alphabet")
    ends = codes < 32
    if not ends[last_code_M].all():
        raise RleError("cut")
    end_codes = np.flatnonzero(ends)
    # Most numbers have one character: bit 4 of a number's last is its sign.
    values = ((codes[end_codes] ^ 16).astype(np.int8) - np.int8(16)).astype(np.int64)
    longer = np.flatnonzero(end_codes[1:] - end_codes[:-1] > 1) + 1
    if end_codes[0]:
        longer = np.concatenate([[0], longer])
    if longer.size:
        before = end_codes[longer] - np.where(longer, end_codes[longer - 1], -1) - 1
        values[longer] = _longer_values(codes, end_codes[longer], before, values[longer])
    return values, end_codes


def _longer_values(codes: np.ndarray, end_codes: np.ndarray, before: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Numbers with `before` characters before their last, whose own value is `values`."""
    if before.max() > MAX_DIGITS - 1:
        raise RleError("digits")
    for back in range(1, int(before.max()) + 1):
        has = slice(None) if back == 1 else np.flatnonzero(before >= back)
        values[has] = values[has] * 32 + (codes[end_codes[has] - back] & 31)
    return values


def _undo_differences(values: np.ndarray, first_run_M: np.ndarray) -> np.ndarray:
    """Each mask's runs 0, 1 and 2 stand as they are; every later one is a difference to the run two before.

    Every other value of the whole array is therefore a row of running sums that begin anew at those three: there, what
    has been summed up since the last beginning is taken off again.
    """
    anew = (first_run_M[:, None] + np.arange(3)).ravel()
    anew = anew[anew < values.size]
    if (anew[1:] <= anew[:-1]).any():  # a mask of fewer than three runs
        anew = np.unique(anew)
    for side in (0, 1):
        part, begins = values[side::2], anew[(anew & 1) == side] >> 1
        if part.size:
            sums = np.add.reduceat(part, begins)
            part[begins[1:]] -= sums[:-1]
            np.cumsum(part, out=part)
    return values
