"""Exact outlines of masks, along the edges of their pixels, holes and separate parts included."""

import numpy as np

Point = tuple[int, int]
# Directions (dx, dy) in y-down pixels, each a quarter turn clockwise from the one before: right, down, left, up.
RIGHT, DOWN, LEFT, UP = range(4)
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def rings(mask_HW: np.ndarray) -> list[list[Point]]:
    """Closed rings of corner points (x, y), objects clockwise and holes counter-clockwise; the first is not repeated.

    The object lies on the right of every edge. Where two pixels touch at a corner alone, the rings keep apart.
    """
    edges = _edges(mask_HW)
    found = []
    while edges:
        (start, direction), _ = edges.popitem()
        found.append(_ring(edges, start, direction))
    return found


def single_outline(mask_HW: np.ndarray) -> list[Point]:
    """All rings as one polygon, joined by bridges of no width; even-odd filling gives exactly the mask.

    For formats that know one polygon an object: every bridge is walked there and back, so that it fills nothing.
    """
    path: list[Point] = []
    for ring in rings(mask_HW):
        path += [*ring, ring[0]]
        if path[0] != ring[0]:
            path.append(path[0])
    return path[:-1]


def _edges(mask_HW: np.ndarray) -> dict[tuple[Point, int], None]:
    """(start corner, direction) of every pixel edge between object and background."""
    padded = np.pad(np.asarray(mask_HW, dtype=bool), 1)
    inside = padded[1:-1, 1:-1]
    borders = (
        (RIGHT, inside & ~padded[:-2, 1:-1], 0, 0),  # top edge, walked to the right
        (DOWN, inside & ~padded[1:-1, 2:], 1, 0),  # right edge, walked down
        (LEFT, inside & ~padded[2:, 1:-1], 1, 1),  # bottom edge, walked to the left
        (UP, inside & ~padded[1:-1, :-2], 0, 1),  # left edge, walked up
    )
    edges: dict[tuple[Point, int], None] = {}
    for direction, there, x_shift, y_shift in borders:
        rows, columns = np.nonzero(there)
        for x, y in zip((columns + x_shift).tolist(), (rows + y_shift).tolist(), strict=True):
            edges[((x, y), direction)] = None
    return edges


def _ring(edges: dict[tuple[Point, int], None], start: Point, direction: int) -> list[Point]:
    """Follow edges to the start again, taking the sharpest right turn there is; only corners are kept."""
    corners: list[Point] = []
    point, first = start, direction
    while True:
        point = (point[0] + STEPS[direction][0], point[1] + STEPS[direction][1])
        turns = ((direction + 1) % 4, direction, (direction + 3) % 4)
        following = next((turn for turn in turns if (point, turn) in edges), None)
        if following is None:
            break
        if following != direction:
            corners.append(point)
        edges.pop((point, following))
        direction = following
    return corners if direction == first else [*corners, start]
