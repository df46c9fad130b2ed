"""Which discrepant voxels a person would call one place.

Two networks differ by a voxel here and there along every border, and in lumps where one of them
is wrong. A place is a lump with what lies around it:

1. the disagreements of one kind (A says one class, B another) are counted in small cells;
2. where enough of the neighbourhood is discrepant the cells belong to a core: cores reach across
   gaps, because the neighbourhood does;
3. a core larger than one can judge in a look is cut, again and again, where it is thinnest;
4. whatever disagreement lies near a core, of any kind, belongs to it.

What is left over is specks. All lengths are in mm, so anisotropic voxels are grouped as they lie;
they are meant for organs, and shrink with a volume smaller than `FULL_SIZE_MM`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from scipy.spatial import cKDTree

CELL_MM = 2.0
"""Voxels are gathered in cells of at most this size; larger voxels are cells of their own."""
AROUND_MM = 3.0
"""Half the width of the neighbourhood that is looked at around a cell."""
CORE_SHARE = 0.1
"""Part of the neighbourhood that differs in a core."""
EXTENT_MM = 40.0
"""No core is longer than this along any axis, so that it can be judged in one look."""
NEAR_MM = 5.0
"""What lies so close to a core belongs to it."""
CORE_MM3 = 50.0
"""A smaller core is none: it is part of a larger one beside it, or a speck."""
FULL_SIZE_MM = 60.0


def scale_of(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Factor of all lengths for a volume (z, y, x): 1, or less for a small animal or specimen."""
    longest = max(count * step for count, step in zip(shape, spacing, strict=True))
    return min(1.0, longest / FULL_SIZE_MM)


Ints = npt.NDArray[np.int64]


def group_places(places: Ints, kinds: Ints, spacing: Sequence[float], scale: float = 1.0) -> Ints:
    """Give each voxel the number of the place a person would see it in: 0, 1, ...

    Parameters
    ----------
    places : (3, N) int64
        (z, y, x) of the discrepant voxels.
    kinds : (N,) int64
        A number for what A and what B say there.
    spacing
        (z, y, x) in mm.
    scale
        See `scale_of`.

    Returns
    -------
    (N,) int64
    """
    step = np.asarray(spacing, np.float64) / scale
    stride = np.maximum(1, (CELL_MM / step + 1e-6).astype(np.int64))
    cells, size = places // stride[:, None], stride * step
    group = np.full(places.shape[1], -1, np.int64)
    found = 0
    for kind in np.unique(kinds):
        chosen = np.flatnonzero(kinds == kind)
        for part in _cores(cells[:, chosen], size, float(step.prod())):
            group[chosen[part]] = found
            found += 1
    _join_near(group, cells, size)
    left = np.flatnonzero(group < 0)
    outside = cells[:, left]
    for whole in _touching(outside):
        for part in _cut(whole, outside, size):
            group[left[part]] = found
            found += 1
    return group


def _cores(cells: Ints, size: npt.NDArray[np.float64], voxel_mm3: float) -> Iterator[Ints]:
    """Cores of one kind of disagreement, as positions among its voxels."""
    corner = cells.min(1, keepdims=True)
    at = tuple(cells - corner)
    shape = tuple(cells.max(1) - corner[:, 0] + 1)
    count = np.bincount(np.ravel_multi_index(at, shape), minlength=int(np.prod(shape)))
    share = (count * (voxel_mm3 / size.prod())).astype(np.float32).reshape(shape)
    for axis, length in enumerate(size):
        width = 2 * int(AROUND_MM / length + 1e-6) + 1
        uniform_filter1d(share, width, axis=axis, mode="constant", output=share)
    core = cc3d.connected_components((share >= CORE_SHARE).astype(np.uint8), connectivity=26)
    number = core[at].astype(np.int64)
    for whole in _split_by(number, np.flatnonzero(number)):
        for part in _cut(whole, cells, size):
            if len(part) * voxel_mm3 >= CORE_MM3:
                yield part


def _cut(part: Ints, cells: Ints, size: npt.NDArray[np.float64]) -> Iterator[Ints]:
    """Halve a core along its longest axis, where it is thinnest, until nothing is too long."""
    inside = cells[:, part]
    steps = np.ptp(inside, axis=1)
    length = np.where(steps > 0, (steps + 1) * size, 0)  # a single cell cannot be cut
    axis = int(length.argmax())
    layers = inside[axis] - inside[axis].min()
    if length[axis] <= EXTENT_MM:
        yield part
        return
    mass = np.bincount(layers)
    pieces = int(np.ceil(length[axis] / EXTENT_MM))
    # So many layers may one half have, and outside the middle third there would be slivers.
    most = max(1, int(EXTENT_MM / size[axis] + 1e-6)) * (pieces - pieces // 2)
    third = len(mass) // 3
    first, last = max(third, len(mass) - most, 1), min(len(mass) - third, most)
    above = layers >= first + int(mass[first : max(last, first) + 1].argmin())
    yield from _cut(part[~above], cells, size)
    yield from _cut(part[above], cells, size)


def _join_near(group: Ints, cells: Ints, size: npt.NDArray[np.float64]) -> None:
    """Let voxels outside all cores belong to the core nearest to them, if it is near."""
    inside, outside = np.flatnonzero(group >= 0), np.flatnonzero(group < 0)
    if not len(inside) or not len(outside):
        return
    shape = tuple(cells.max(1) + 1)
    flat = np.ravel_multi_index(tuple(cells), shape)
    core, first = np.unique(flat[inside], return_index=True)
    asked, which = np.unique(flat[outside], return_inverse=True)
    there, here = (np.stack(np.unravel_index(found, shape), 1) * size for found in (core, asked))
    within = NEAR_MM * (1 + 1e-6)  # what is just so near belongs to it
    far, nearest = cKDTree(there).query(here, distance_upper_bound=within)
    owner = np.where(np.isfinite(far), group[inside[first]][nearest % len(core)], -1)
    group[outside] = owner[which]


def _touching(cells: Ints) -> Iterator[Ints]:
    """Positions of the cells of one component after the other: of cells that touch."""
    if cells.size:
        corner = cells.min(1, keepdims=True)
        at = tuple(cells - corner)
        present = np.zeros(tuple(cells.max(1) - corner[:, 0] + 1), np.uint8)
        present[at] = 1
        number = cc3d.connected_components(present, connectivity=26)[at].astype(np.int64)
        yield from _split_by(number, np.arange(len(number)))


def _split_by(numbers: Ints, among: Ints) -> Iterator[Ints]:
    """Positions `among` those given that share a number, number after number."""
    order = among[np.argsort(numbers[among], kind="stable")]
    yield from np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1) if len(order) else ()
