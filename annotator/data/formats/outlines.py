"""Exact outlines of masks, along the edges of their pixels, holes and separate parts included.

Formats that know polygons alone get one closed line an object, or one a part: holes are joined to it by bridges of no
width, walked there and back, so that filling by the even-odd rule gives exactly the mask.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

Point = tuple[int, int]
# Where in a pixel a line runs that is drawn itself (OpenCV, hence YOLO's readers): Ultralytics cuts coordinates to
# whole numbers, supervision rounds them, and a quarter is the same pixel to both.
WITHIN_PX = 0.25
# Where the ends of a bridge between two parts lie, so that whoever knows does not draw it.
BRIDGE_PX = 0.30
TOLERANCE_PX = 0.01


def rings(mask_HW: np.ndarray) -> list[list[Point]]:
    """Closed rings of corner points (x, y), objects clockwise and holes counter-clockwise; the first is not repeated.

    The object lies on the right of every edge. Where two pixels touch at a corner alone, the rings keep apart.
    """
    corners = _Corners(mask_HW)
    xs, ys = corners.x.tolist(), corners.y.tolist()
    return [[(xs[one], ys[one]) for one in ring] for ring in corners.rings()]


def part_outlines(mask_HW: np.ndarray) -> list[np.ndarray]:
    """One (N, 2) polygon of (x, y) for each part of the mask, along the edges of its pixels."""
    return _Line(mask_HW, through_pixels=False).parts()


def pixel_outline(mask_HW: np.ndarray) -> np.ndarray:
    """The whole mask as one (N, 2) polygon through its outermost pixels, for readers that draw the line itself.

    Every coordinate lies WITHIN_PX or BRIDGE_PX of a pixel, which is_through_pixels() tells such lines by. Bridges to
    holes run within the object; parts are joined where they come near, by a bridge over what lies between.
    """
    return _Line(mask_HW, through_pixels=True).whole()


def is_through_pixels(points_N2: np.ndarray) -> bool:
    """Whether these points, in px, are a line of pixel_outline()."""
    return bool((_near(points_N2, WITHIN_PX) | _near(points_N2, BRIDGE_PX)).all())


def pixels_outlined(points_N2: np.ndarray, *, height_px: int, width_px: int) -> tuple[np.ndarray, int, int]:
    """The mask of a line through pixels, within its box, and the box's left and upper end: what the line encloses by
    the even-odd rule, and the line but for its bridges."""
    corners = np.clip(np.floor(points_N2).astype(int), 0, (width_px - 1, height_px - 1))
    origin = corners.min(axis=0)
    corners -= origin
    following = np.roll(corners, -1, axis=0)
    bridge_end = _near(points_N2, BRIDGE_PX).all(axis=1)
    straight = (corners == following).any(axis=1) & ~(bridge_end & np.roll(bridge_end, -1))
    left, top = np.minimum(corners, following)[straight].T
    right, bottom = np.maximum(corners, following)[straight].T
    width, height = corners.max(axis=0) + 1
    down = left == right
    # Even-odd: each vertical stretch flips everything on its right; a bridge is walked twice and flips nothing.
    flips = _stretches(left[down], top[down], left[down], bottom[down], height, width).cumsum(axis=0)
    drawn_down = _stretches(left[down], top[down], left[down], bottom[down] + 1, height, width).cumsum(axis=0)
    drawn_right = _stretches(left, top, right + 1, top, height, width).cumsum(axis=1)
    mask = (flips.cumsum(axis=1) % 2 > 0) | (drawn_down > 0) | (drawn_right > 0)
    return mask[:-1, :-1], *origin.tolist()


def _stretches(
    x0_N: np.ndarray, y0_N: np.ndarray, x1_N: np.ndarray, y1_N: np.ndarray, height: int, width: int
) -> np.ndarray:
    """1 where a stretch begins and -1 past its end, to be summed along it; one row and column more than the mask."""
    found = np.zeros((height + 1, width + 1), dtype=np.int32)
    np.add.at(found, (y0_N, x0_N), 1)
    np.add.at(found, (y1_N, x1_N), -1)
    return found


def _near(points_N2: np.ndarray, share: float) -> np.ndarray:
    return np.abs(points_N2 % 1.0 - share) <= TOLERANCE_PX


class _Corners:
    """Where the outline turns, in reading order; a point where two pixels touch at a corner alone is there twice.

    In that order every two corners of a row begin and end one horizontal edge, and so down the columns.
    """

    def __init__(self, mask_HW: np.ndarray) -> None:
        padded = np.pad(np.asarray(mask_HW, dtype=bool), 1)
        above_left, above, left, here = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
        turns = above_left ^ above ^ left ^ here
        touches = (above_left == here) & (above == left) & (above != here)
        self.y, self.x = np.nonzero(turns | touches)
        twice = touches[self.y, self.x]
        self.y, self.x = (np.repeat(values, twice + 1) for values in (self.y, self.x))
        touching = touches[self.y, self.x]
        first = touching & (np.cumsum(touching) % 2 == 1)
        self._quadrants(padded, touching, first)
        copy = np.where(touching & self._falling, first, touching & ~first)
        self.below = np.arange(self.x.size)
        order = np.lexsort((copy, self.y, self.x))
        self.below[order[0::2]], self.below[order[1::2]] = order[1::2], order[0::2]

    def _quadrants(self, padded: np.ndarray, touching: np.ndarray, first: np.ndarray) -> None:
        """`inward_x`, `inward_y`: towards which quadrant the object lies. `starts_object`: the one below right."""
        y, x = self.y, self.x
        above_left, above = padded[y, x].astype(int), padded[y, x + 1].astype(int)
        left, here = padded[y + 1, x].astype(int), padded[y + 1, x + 1].astype(int)
        self.starts_object = here.astype(bool)
        self._falling = (above == 1) & (left == 1)  # of two that touch: above right and below left
        self.inward_x = np.sign(above + here - above_left - left)
        self.inward_y = np.sign(left + here - above_left - above)
        # The copy on the left belongs to the pixel on the left.
        self.inward_x = np.where(touching, np.where(first, -1, 1), self.inward_x)
        self.inward_y = np.where(touching, np.where(first ^ self._falling, -1, 1), self.inward_y)

    def rings(self) -> Iterator[list[int]]:
        """Numbers of corners. A ring begins at the leftmost of its topmost; objects go right from there, holes down."""
        below, starts_object = self.below.tolist(), self.starts_object.tolist()
        seen = bytearray(len(below))
        for start in range(len(below)):
            if seen[start]:
                continue
            ring, corner, across = [], start, starts_object[start]
            while not seen[corner]:
                seen[corner] = 1
                ring.append(corner)
                corner = corner ^ 1 if across else below[corner]
                across = not across
            yield ring


class _Line:
    """All rings as chains of nodes, `following[node]`, into which bridges are spliced."""

    def __init__(self, mask_HW: np.ndarray, *, through_pixels: bool) -> None:
        self._mask, self._corners = np.asarray(mask_HW, dtype=bool), _Corners(mask_HW)
        corners = self._corners
        self._within = WITHIN_PX if through_pixels else 0.0
        # A corner's pixel is the one inside the object.
        back = int(through_pixels)
        self.x = (corners.x - back * (corners.inward_x < 0) + self._within).tolist()
        self.y = (corners.y - back * (corners.inward_y < 0) + self._within).tolist()
        rings = list(corners.rings())
        self._objects = [ring for ring in rings if corners.starts_object[ring[0]]]
        self._holes = [ring for ring in rings if not corners.starts_object[ring[0]]]
        self.following = [0] * len(self.x)
        if self._holes or len(self._objects) > 1:
            self._link(rings)

    def parts(self) -> list[np.ndarray]:
        outlines = [self._nodes(ring[0]) for ring in self._objects] if self._holes else self._objects
        points = self._points()
        return [points[outline] for outline in outlines]

    def whole(self) -> np.ndarray:
        """Each part joined to the nearest corner of those before it."""
        if not self._objects:
            return np.zeros((0, 2))
        if len(self._objects) == 1:
            return self.parts()[0]
        first = self._objects[0][0]
        nodes = self._nodes(first)
        for ring in self._objects[1:]:
            more = self._nodes(ring[0])
            here, there = self._nearest(nodes, more)
            self._bridge(nodes[here], more[there])
            nodes += more
        return self._points()[self._nodes(first)]

    def _link(self, rings: list[list[int]]) -> None:
        for ring in rings:
            for node, after in zip(ring, [*ring[1:], ring[0]], strict=True):
                self.following[node] = after
        self._join_holes()

    def _join_holes(self) -> None:
        """From its upper edge each hole is joined straight up with the edge that the object ends at there."""
        x, y = self._corners.x, self._corners.y
        width = self._mask.shape[1] + 2
        keys = y[0::2] * width + x[0::2]
        waiting: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        for hole, *_ in self._holes:
            column = int(x[hole])
            empty = np.flatnonzero(~self._mask[: y[hole], column])
            top = int(empty[-1]) + 1 if empty.size else 0
            edge = int(np.searchsorted(keys, top * width + column, side="right")) - 1
            waiting[edge].append((column, top, hole))
        for edge, bridges in waiting.items():
            self._hang(2 * edge, sorted(bridges))

    def _hang(self, left: int, bridges: list[tuple[int, int, int]]) -> None:
        """Holes below the edge from corner `left` to its partner; the object lies below it, so it is walked right."""
        before, after = left, left ^ 1
        for column, top, hole in bridges:
            x = column + self._within
            upper, lower = self._node(x, top + self._within), self._node(x, self.y[hole])
            # A hole is walked down from its first corner, and comes back along its upper edge from the right.
            back, again = self._node(x, self.y[hole]), self._node(x, top + self._within)
            last = hole ^ 1
            self._chain(before, upper, lower, hole)
            self._chain(last, back, again, after)
            before = again

    def _chain(self, *nodes: int) -> None:
        for node, after in pairwise(nodes):
            self.following[node] = after

    def _bridge(self, here: int, there: int) -> None:
        """There, round the other part, and back."""
        here_again, there_again = self._node(self.x[here], self.y[here]), self._node(self.x[there], self.y[there])
        ends = [self._bridge_end(node) for node in (here, there, there, here)]
        last = self._nodes(there)[-1]
        self._chain(last, there_again, ends[2], ends[3], here_again, self.following[here])
        self._chain(here, ends[0], ends[1], there)

    def _bridge_end(self, node: int) -> int:
        return self._node(self.x[node] + BRIDGE_PX - WITHIN_PX, self.y[node] + BRIDGE_PX - WITHIN_PX)

    def _nearest(self, nodes: list[int], more: list[int]) -> tuple[int, int]:
        """Places in both lists of the two corners that are nearest to each other, looked for in slices."""
        old = np.array([[self.x[node], self.y[node]] for node in nodes])
        best = (np.inf, 0, 0)
        for start in range(0, len(more), 256):
            new = np.array([[self.x[node], self.y[node]] for node in more[start : start + 256]])
            apart = ((old[:, None, :] - new[None, :, :]) ** 2).sum(axis=2)
            found = int(apart.argmin())
            here, there = divmod(found, len(new))
            best = min(best, (float(apart[here, there]), here, start + there))
        return best[1], best[2]

    def _node(self, x: float, y: float) -> int:
        self.x.append(x)
        self.y.append(y)
        self.following.append(0)
        return len(self.x) - 1

    def _nodes(self, first: int) -> list[int]:
        found, node = [first], self.following[first]
        while node != first:
            found.append(node)
            node = self.following[node]
        return found

    def _points(self) -> np.ndarray:
        return np.array([self.x, self.y]).T
