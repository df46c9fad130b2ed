"""Fills the slices between two painted ones, by their shapes.

Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE TMI 9 (1990) 32-42.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, shift

FARTHEST_MM = 60.0
"""Slices farther away than this from the one on display are not looked at."""

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Piece:
    """A connected painted piece, and where it ends along the axis."""

    first: int
    last: int
    number: int


def interpolate_slices(
    labels: Bytes, value: int, axis: int, position: int, spacing: tuple[float, float, float]
) -> Indices:
    """Find what lies between painted slices on either side of a slice.

    Two painted pieces belong together where the slices that face each other overlap when seen
    along the axis, or lie beside each other by no more than they are apart along it.

    Parameters
    ----------
    labels : (Z, Y, X) uint8
        The corrections; 0 is untouched.
    value
        What was painted.
    axis, position
        The slices' axis and the slice on display: only gaps that hold it or end at it are filled.
    spacing
        Voxel size (dz, dy, dx) in mm.

    Returns
    -------
    (N,) int64
        Flat indices of the untouched voxels to be given `value`, ascending.
    """
    stack = np.moveaxis(labels, axis, 0)
    steps = [spacing[axis], *(step for k, step in enumerate(spacing) if k != axis)]
    far = int(FARTHEST_MM / steps[0])
    start = max(0, position - far)
    painted = stack[start : position + far + 1] == value
    filled = np.zeros(painted.shape, bool)
    pieces: npt.NDArray[np.integer] = cc3d.connected_components(painted, connectivity=26)
    for below, above in _facing(pieces, position - start, (steps[0], steps[1], steps[2])):
        ends = pieces[below.last] == below.number, pieces[above.first] == above.number
        between = _between(*ends, above.first - below.last, (steps[1], steps[2]))
        filled[below.last + 1 : above.first] |= between
    filled &= stack[start : position + far + 1] == 0
    z, y, x = np.nonzero(filled)
    places = np.stack([y, x])
    places = np.insert(places, axis, z + start, axis=0)
    return np.sort(np.ravel_multi_index(tuple(places), labels.shape)).astype(np.int64)


def _facing(
    pieces: npt.NDArray[np.integer], position: int, spacing: tuple[float, float, float]
) -> list[tuple[_Piece, _Piece]]:
    """Pairs of pieces with a gap at `position`; each piece faces the nearest one."""
    found = []
    for number, box in enumerate(cc3d.statistics(pieces)["bounding_boxes"][1:], start=1):
        found.append(_Piece(int(box[0].start), int(box[0].stop) - 1, number))
    pairs = [
        (above.first - below.last, below, above)
        for below in found
        for above in found
        if below.last <= position <= above.first and above.first - below.last > 1
    ]
    taken: set[tuple[str, int]] = set()
    facing = []
    for gap, below, above in sorted(pairs, key=lambda pair: pair[0]):
        sides = {("up", below.number), ("down", above.number)}
        if not sides & taken and _beside(pieces, below, above, (gap * spacing[0], *spacing[1:])):
            taken |= sides
            facing.append((below, above))
    return facing


def _beside(
    pieces: npt.NDArray[np.integer],
    below: _Piece,
    above: _Piece,
    spacing: tuple[float, float, float],
) -> bool:
    """Whether facing slices, `spacing[0]` mm apart, are no farther beside each other than that."""
    apart, *steps = spacing
    one = pieces[below.last] == below.number
    other = pieces[above.first] == above.number
    distance = distance_transform_edt(~one, sampling=steps)
    return bool(distance[other].min() <= apart)


def _between(below: Flags, above: Flags, gap: int, spacing: tuple[float, float]) -> Flags:
    """Shapes of the `gap - 1` slices between two, (gap - 1, Y, X).

    The signed distance to the outline is interpolated about a centre that moves from one shape
    to the other, so that also a slanted structure stays in one piece.
    """
    first, last = _signed_distance(below, spacing), _signed_distance(above, spacing)
    start, stop = (np.argwhere(mask).mean(axis=0) for mask in (below, above))
    shapes = []
    for k in range(1, gap):
        share = k / gap
        center = (1 - share) * start + share * stop
        moved = [
            shift(one, center - own, order=1, mode="nearest")
            for one, own in ((first, start), (last, stop))
        ]
        shapes.append((1 - share) * moved[0] + share * moved[1] > 0)
    return np.stack(shapes)


def _signed_distance(mask: Flags, spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Distance in mm to the outline, positive inside."""
    padded = np.pad(mask, 1)  # what lies outside the volume is outside the shape
    inside = distance_transform_edt(padded, sampling=spacing)
    outside = distance_transform_edt(~padded, sampling=spacing)
    signed: npt.NDArray[np.float64] = (inside - outside)[1:-1, 1:-1]
    return signed
