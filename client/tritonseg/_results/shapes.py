"""The outlines of a class, along the edges of its pixels.

Edges, not centres: a pixel at (x, y) is the square from (x, y) to (x + 1, y + 1). So one pixel has
an area, a line of them too, neighbours share their border, and filling gives the mask back.
Outlines through the centres, as OpenCV's findContours draws them, do none of that.

Every corner of an outline is met by one horizontal and one vertical edge. Along each row of the
grid the horizontal edges join its first corner to its second, the third to the fourth and so on;
along each column so do the vertical ones. Where four pixels meet of which two across are in the
class, there are two corners in one place, one for each of these pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Ints = npt.NDArray[np.int32]
_Longs = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Polygon:
    """One connected piece of a class.

    Points are (x, y) in pixels from the picture's top left corner, at the corners of pixels: the
    pixel in column x and row y is the square from (x, y) to (x + 1, y + 1). No ring crosses or
    touches itself, and none repeats its first point at its end.

    Attributes:
        exterior: (N, 2) int32, N ≥ 4. Counter-clockwise with y pointing up, which on the screen,
            where it points down, is clockwise.
        holes: One (N, 2) int32 ring for each, the other way round.
    """

    exterior: npt.NDArray[np.int32]
    holes: tuple[npt.NDArray[np.int32], ...] = ()

    @property
    def area_px(self) -> float:
        """Pixels inside, holes left out; a whole number unless it was simplified."""
        return sum(signed_area(ring) for ring in (self.exterior, *self.holes))

    def __repr__(self) -> str:
        holes = f", {len(self.holes)} holes" if self.holes else ""
        return f"<Polygon of {len(self.exterior)} points{holes}, {self.area_px:g} pixels>"


def trace_polygons(mask: npt.NDArray[np.bool_]) -> list[Polygon]:
    """Return the pieces of a mask, from the top down; pixels that touch at a corner are two pieces.

    Args:
        mask: (H, W).
    """
    rings = _trace_rings(mask)
    areas = [signed_area(ring) for ring in rings]
    exteriors = [ring for ring, area in zip(rings, areas, strict=True) if area > 0]
    holes = [ring for ring, area in zip(rings, areas, strict=True) if area < 0]
    if not holes:
        return [Polygon(exterior=ring) for ring in exteriors]
    owners = _owners(mask, exteriors, holes)
    owned: list[list[_Ints]] = [[] for _ in exteriors]
    for hole, owner in zip(holes, owners, strict=True):
        owned[owner].append(hole)
    return [
        Polygon(exterior=ring, holes=tuple(inside))
        for ring, inside in zip(exteriors, owned, strict=True)
    ]


def signed_area(ring_xy: npt.NDArray[np.int32]) -> float:
    """Return a ring's area in pixels, below 0 where it is clockwise with y pointing up."""
    x, y = ring_xy.T.astype(np.int64)
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def _trace_rings(mask: _Bools) -> list[_Ints]:
    """Return every ring, with the class on its right on the screen."""
    corners_xy, below, is_inside = _corners(mask)
    below_of, starts_right = below.tolist(), is_inside.tolist()
    is_done = bytearray(len(below_of))
    rings: list[_Ints] = []
    for start in range(len(below_of)):
        if is_done[start]:
            continue
        # The first corner of its ring in reading order: from it, edges go right and down.
        goes_right, at, path = starts_right[start], start, []
        while not is_done[at]:
            is_done[at] = True
            path.append(at)
            at = at ^ 1 if goes_right else below_of[at]
            goes_right = not goes_right
        rings += _simple_rings(corners_xy[path])
    return rings


def _corners(mask: _Bools) -> tuple[_Ints, _Longs, _Bools]:
    """Return the corners in reading order, as (x, y); horizontal edges join 2k and 2k + 1.

    Returns:
        The corners, at the other end of whose vertical edge each is, and whether the pixel to the
        lower right is in the class.
    """
    padded = np.pad(mask, 1)
    upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
    lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
    is_odd = upper_left ^ upper_right ^ lower_left ^ lower_right
    is_double = (upper_left == lower_right) & (upper_left != upper_right)
    is_double &= upper_right == lower_left
    places = np.flatnonzero(is_odd | is_double)
    places = np.repeat(places, 1 + is_double.ravel()[places])
    y, x = np.divmod(places, padded.shape[1] - 1)
    # Of the two in one place the first ends the edge from the left. It belongs to the upper left
    # pixel, and with it to the edge from above, or to the lower left one and the edge from below.
    is_second = np.zeros(len(places), np.bool_)
    is_second[1:] = places[1:] == places[:-1]
    is_double_here = is_double.ravel()[places]
    is_lower = is_double_here & (is_second == upper_left[y, x])
    by_column = np.lexsort((is_lower, y, x))
    below = np.empty(len(places), np.int64)
    below[by_column[0::2]], below[by_column[1::2]] = by_column[1::2], by_column[0::2]
    return np.stack([x, y], axis=1).astype(np.int32), below, lower_right[y, x]


def _simple_rings(ring_xy: _Ints) -> list[_Ints]:
    """Cut a ring wherever it comes back to a point: a hole that meets the outline, or another."""
    points = [(x, y) for x, y in ring_xy.tolist()]
    if len(set(points)) == len(points):
        return [ring_xy]
    rings: list[list[tuple[int, int]]] = []
    path: list[tuple[int, int]] = []
    position: dict[tuple[int, int], int] = {}
    for point in points:
        if point in position:
            begin = position[point]
            rings.append(path[begin:])
            for left in path[begin:]:
                del position[left]
            del path[begin:]
        position[point] = len(path)
        path.append(point)
    return [np.array(ring, np.int32) for ring in (path, *rings)]


def _owners(mask: _Bools, exteriors: list[_Ints], holes: list[_Ints]) -> list[int]:
    """Return for every hole the position of the exterior whose piece it is in.

    To the left of a hole's first pixel the piece goes on to an edge of its own: of its exterior, or
    of a hole that begins before this one in reading order.
    """
    height, width = mask.shape
    keys, ring_of = _vertical_edges([*exteriors, *holes], height)
    firsts = np.array([min(ring.tolist(), key=lambda point: point[::-1]) for ring in holes])
    x, y = firsts.T
    is_begin = mask.copy()
    is_begin[:, 1:] &= ~mask[:, :-1]
    begins = np.flatnonzero(is_begin)
    begin_x = begins[np.searchsorted(begins, y * width + x - 1, "right") - 1] % width
    neighbours = ring_of[np.searchsorted(keys, begin_x * (height + 1) + y, "right") - 1].tolist()
    owner_of = list(range(len(exteriors))) + [-1] * len(holes)
    for index in np.lexsort((x, y)).tolist():
        owner_of[len(exteriors) + index] = owner_of[neighbours[index]]
    return owner_of[len(exteriors) :]


def _vertical_edges(rings: list[_Ints], height: int) -> tuple[_Longs, _Longs]:
    """Return a key for every vertical edge, in order of column and row, and its ring."""
    begins = np.concatenate(rings).astype(np.int64)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    ring_of = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    is_vertical = begins[:, 0] == ends[:, 0]
    top = np.minimum(begins[:, 1], ends[:, 1])
    keys = (begins[:, 0] * (height + 1) + top)[is_vertical]
    order = np.argsort(keys)
    return keys[order], ring_of[is_vertical][order]
