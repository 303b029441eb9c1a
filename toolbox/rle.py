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
    """Runs of M masks, concatenated, and where each mask's first run is; `text` joins their counts, none empty."""
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
    first_codes = np.concatenate([[0], end_codes[:-1] + 1])
    digits = end_codes - first_codes
    if digits.max() > MAX_DIGITS - 1:
        raise RleError("digits")
    values = np.zeros(end_codes.size, dtype=np.int64)
    for place in range(int(digits.max()) + 1):
        longer = np.flatnonzero(digits >= place)
        values[longer] |= (codes[first_codes[longer] + place] & 31).astype(np.int64) << (5 * place)
    values -= np.where(codes[end_codes] & 16, np.int64(1) << (5 * (digits + 1)), 0)
    return values, end_codes


def _undo_differences(values: np.ndarray, first_run_M: np.ndarray) -> np.ndarray:
    """Each mask's runs 0, 1 and 2 stand as they are; every later one is a difference to the run two before.

    Every other value of the whole array is therefore a row of running sums that begin anew at those three.
    """
    begins = np.zeros(values.size, dtype=bool)
    for place in range(3):
        found = first_run_M + place
        begins[found[found < values.size]] = True
    begins[first_run_M] = True
    runs = np.empty_like(values)
    for side in (0, 1):
        part, anew = values[side::2], begins[side::2]
        if part.size:
            sums = np.cumsum(part)
            latest = np.maximum.accumulate(np.where(anew, np.arange(part.size), 0))
            runs[side::2] = sums - sums[latest] + part[latest]
    return runs
