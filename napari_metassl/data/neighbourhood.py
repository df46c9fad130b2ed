"""All voxels within some mm of others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ROUNDING = 1e-5  # what is just at the reach belongs to it

Indices = npt.NDArray[np.int64]


def neighbourhood(
    places: Indices, shape: Sequence[int], spacing: Sequence[float], reach_mm: float
) -> Indices:
    """Flat indices of all voxels within `reach_mm` of some, these included, ascending.

    Distances are between voxel centers, in mm.

    Parameters
    ----------
    places : (3, N) int64
        (z, y, x) of the voxels, at least one.
    shape, spacing
        Of the volume, (z, y, x), mm.
    """
    margin = np.array([int(reach_mm // step) + 1 for step in spacing])
    low = np.maximum(places.min(1) - margin, 0)
    high = np.minimum(places.max(1) + margin + 1, shape)
    squared = np.full(high - low, np.inf, np.float32)
    squared[tuple(places - low[:, None])] = 0
    for axis, step in enumerate(spacing):
        squared = _nearest_along(axis, step, squared, reach_mm)
    near = squared <= (reach_mm * (1 + ROUNDING)) ** 2
    z, y, x = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    voxels: Indices = ((z * shape[1] + y) * shape[2] + x)[near]
    return voxels


def _nearest_along(
    axis: int, step: float, squared: npt.NDArray[np.float32], reach_mm: float
) -> npt.NDArray[np.float32]:
    """Squared distance in mm to the nearest seed, one axis more considered, exact up to the reach.

    The square of a distance is a sum over axes, so its minimum can be found axis after axis.
    """
    nearest = squared.copy()
    old, new = np.moveaxis(squared, axis, 0), np.moveaxis(nearest, axis, 0)
    for k in range(1, min(len(old), int(reach_mm / step + ROUNDING) + 1)):
        away = np.float32((k * step) ** 2)
        np.minimum(new[k:], old[:-k] + away, out=new[k:])
        np.minimum(new[:-k], old[k:] + away, out=new[:-k])
    return nearest
