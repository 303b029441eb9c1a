"""How a picture looks, as 64 bits: a perceptual hash. Two pictures of one scene differ in few bits, whatever the JPEG.

The upright picture as 32 x 32 means of grey, its cosine transform, and of the 63 slowest waves (without the mean) those
above their median. Plain numpy, so that every tower makes the same bits.
"""

from functools import cache

import numpy as np

SIDE, WAVES = 32, 8
LUMA = np.array([0.299, 0.587, 0.114])
# Below so many grey levels (root mean square) the waves are noise: two grey walls are not one scene.
FLAT_BELOW = 1.5
FLAT = "0" * 16
# Of large pictures every so many-th pixel is read, so that the shorter side keeps at least this many.
ENOUGH = 256
# A wave of half a grey level is rounding, or JPEG's own noise: it counts as none, or chance would decide.
FAINT = 0.5 * SIDE / 2


def look_of(pixels: np.ndarray) -> str:
    """16 hex digits for (H, W) or (H, W, 3 or more) pixels, 0 to 255, upright; FLAT where nothing is to be seen."""
    step = max(min(pixels.shape[:2]) // ENOUGH, 1)
    waves = _cosine() @ _grey(pixels[::step, ::step]) @ _cosine().T
    slow = waves[:WAVES, :WAVES].ravel()[1:]
    slow = np.where(np.abs(slow) < FAINT, 0.0, slow)
    if np.sqrt(np.square(slow).sum()) / SIDE < FLAT_BELOW:
        return FLAT
    median = np.partition(slow, len(slow) // 2)[len(slow) // 2]  # their number is odd
    bits = np.concatenate([[False], slow > median])
    return np.packbits(bits).tobytes().hex()


@cache
def _cosine() -> np.ndarray:
    """The orthonormal DCT-II as a matrix: one wave a row."""
    places = np.arange(SIDE)
    matrix = np.cos(np.pi * (2 * places[None, :] + 1) * places[:, None] / (2 * SIDE)) * np.sqrt(2 / SIDE)
    matrix[0] = np.sqrt(1 / SIDE)
    return matrix


def _grey(pixels: np.ndarray) -> np.ndarray:
    """(32, 32) means; a picture of fewer pixels repeats them."""
    is_small = pixels.shape[:2] == (SIDE, SIDE)  # each pixel is its own mean
    means = pixels.astype(np.float64) if is_small else _means(_means(pixels, 0), 1)
    return means[..., :3] @ LUMA if means.ndim == 3 else means


def _means(values: np.ndarray, axis: int) -> np.ndarray:
    """32 means along one axis, of parts as equal as whole pixels allow."""
    edges = np.arange(SIDE + 1) * values.shape[axis] // SIDE
    kind = np.uint32 if values.dtype == np.uint8 else np.float64
    sums = np.add.reduceat(values, edges[:-1], axis=axis, dtype=kind)
    sizes = np.maximum(np.diff(edges), 1).astype(np.float64)
    return sums / sizes.reshape([-1 if place == axis else 1 for place in range(values.ndim)])


def looks_apart(one: str, other: str) -> int:
    """In how many of the 64 bits two looks differ; up to about 6 it is the same scene, saved anew."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
