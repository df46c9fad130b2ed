"""Fills the slices between two painted ones, by their shapes (Raya and Udupa 1990).

Raya and Udupa, Shape-based interpolation of multidimensional objects, IEEE TMI 9 (1990) 32-42.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, shift
from scipy.spatial import cKDTree

from napari_metassl.data.plane import Plane

FARTHEST_MM = 30.0
"""Slices farther away than this from the one on display are not looked at."""
SIDEWAYS = 0.5
"""Shapes may be so far beside each other, as a part of how far they are apart."""

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Piece:
    """A connected painted piece: its end slices along the axis, and its places on them, (N, 2)."""

    first: int
    last: int
    bottom: Places
    top: Places


def interpolate_slices(
    labels: Bytes,
    by_hand: Indices,
    value: int,
    plane: Plane,
    spacing: tuple[float, float, float],
) -> Indices:
    """Find what lies between painted slices on either side of a slice.

    Two painted pieces belong together where the slices that face each other overlap when seen
    along the axis, or lie beside each other by less than half of what they are apart along it.

    Parameters
    ----------
    labels : (Z, Y, X) uint8
        The corrections; 0 is untouched.
    by_hand : (M,) int64
        Flat indices of what was painted by hand; in a slice, only what is connected with such a
        voxel counts, not what was taken or confirmed at a site.
    value
        What was painted.
    plane
        The slice on display: only gaps that hold it or end at it are filled.
    spacing
        Voxel size (dz, dy, dx) in mm.

    Returns
    -------
    (N,) int64
        Flat indices of the untouched voxels to be given `value`, ascending.
    """
    apart, *sides = [spacing[plane.axis], *(s for k, s in enumerate(spacing) if k != plane.axis)]
    far = int(FARTHEST_MM / apart)
    stack = np.moveaxis(labels, plane.axis, 0)
    hand = plane.places(by_hand, labels.shape)
    painted = _by_hand(stack, value, hand[:, abs(hand[0] - plane.position) <= far])
    if not len(painted):
        return np.zeros(0, np.int64)
    low, size = painted.min(axis=0), np.ptp(painted, axis=0) + 1
    window = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
    mask = np.zeros(size, bool)
    mask[tuple((painted - low).T)] = True
    filled = np.zeros(size, bool)
    step = (apart, sides[0], sides[1])
    for below, above in _facing(_pieces(mask), plane.position - int(low[0]), step):
        _fill(filled, below, above, (sides[0], sides[1]))
    filled &= stack[window] == 0
    return plane.flat(np.stack(np.nonzero(filled)) + low[:, None], labels.shape)


def _by_hand(stack: Bytes, value: int, hand: Places) -> Places:
    """Find what is connected, in its slice, with voxels painted by hand, (3, M): (N, 3) places."""
    found = [np.zeros((0, 3), np.int64)]
    for z in np.unique(hand[0]):
        spots = cc3d.connected_components(stack[z] == value, connectivity=8)
        kept = np.zeros(int(spots.max()) + 1, bool)
        kept[spots[tuple(hand[1:, hand[0] == z])]] = True
        kept[0] = False
        found.append(np.insert(np.argwhere(kept[spots]), 0, z, axis=1))
    return np.concatenate(found)


def _pieces(painted: Flags) -> list[_Piece]:
    """Find the connected pieces."""
    numbers = cc3d.connected_components(painted, connectivity=26)
    found = []
    for number, box in enumerate(cc3d.statistics(numbers)["bounding_boxes"][1:], start=1):
        first, last = int(box[0].start), int(box[0].stop) - 1
        bottom, top = (np.argwhere(numbers[z] == number) for z in (first, last))
        found.append(_Piece(first, last, bottom, top))
    return found


def _facing(
    pieces: list[_Piece], position: int, spacing: tuple[float, float, float]
) -> list[tuple[_Piece, _Piece]]:
    """Pairs of pieces with a gap at `position`; each piece faces the nearest one."""
    pairs = [
        (above.first - below.last, below, above)
        for below in pieces
        for above in pieces
        if below.last <= position <= above.first and above.first - below.last > 1
    ]
    facing: list[tuple[_Piece, _Piece]] = []
    for gap, below, above in sorted(pairs, key=lambda pair: pair[0]):
        taken = any(below is one or above is other for one, other in facing)
        if (
            not taken
            and _beside(below.top, above.bottom, spacing[1:]) <= SIDEWAYS * gap * spacing[0]
        ):
            facing.append((below, above))
    return facing


def _beside(one: Places, other: Places, spacing: tuple[float, ...]) -> float:
    """How far two shapes are from each other when seen along the axis, in mm."""
    nearest, _ = cKDTree(one * np.asarray(spacing)).query(other * np.asarray(spacing))
    return float(nearest.min())


def _fill(filled: Flags, below: _Piece, above: _Piece, spacing: tuple[float, float]) -> None:
    """Mark the slices between two pieces.

    The signed distance to the outline is interpolated about a centre that moves from one shape
    to the other, so that also a slanted structure stays in one piece.
    """
    both = np.concatenate([below.top, above.bottom])
    low = both.min(axis=0)
    size = both.max(axis=0) - low + 1
    distances, centers = [], []
    for places in (below.top - low, above.bottom - low):
        mask = np.zeros(size, bool)
        mask[tuple(places.T)] = True
        distances.append(_signed_distance(mask, spacing))
        centers.append(places.mean(axis=0))
    window = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
    gap = above.first - below.last
    for k in range(1, gap):
        shares = (1 - k / gap, k / gap)
        center = shares[0] * centers[0] + shares[1] * centers[1]
        distance = sum(
            share * shift(one, center - own, order=1, mode="nearest")
            for share, one, own in zip(shares, distances, centers, strict=True)
        )
        filled[below.last + k][window] |= np.asarray(distance) > 0


def _signed_distance(mask: Flags, spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Distance in mm to the outline, positive inside."""
    padded = np.pad(mask, 1)  # what lies outside the window is outside the shape
    inside = distance_transform_edt(padded, sampling=spacing)
    outside = distance_transform_edt(~padded, sampling=spacing)
    signed: npt.NDArray[np.float64] = (inside - outside)[1:-1, 1:-1]
    return signed
