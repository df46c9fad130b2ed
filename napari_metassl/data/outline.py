"""Outlines of labels as lines along voxel sides, slice by slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def outline(
    labels: npt.NDArray[np.integer[Any]], axis: int
) -> tuple[Floats, npt.NDArray[np.integer[Any]]]:
    """Find the voxel sides at which a label ends within its slice.

    Parameters
    ----------
    labels : (Z, Y, X)
        0 is nothing, and has no outline.
    axis
        The axis perpendicular to the slices.

    Returns
    -------
    lines : (N, 2, 3)
        Where each line starts and which way it goes, in voxels; voxel centres are whole numbers.
    values : (N,)
        The label inside.
    """
    lines, values = [np.zeros((0, 2, 3))], [np.zeros(0, labels.dtype)]
    padded = np.pad(labels, 1)
    first, second = (k for k in range(3) if k != axis)
    for across, along in ((first, second), (second, first)):
        for side in (-1, 1):
            beside = np.roll(padded, -side, axis=across)
            places = np.argwhere((padded != 0) & (padded != beside))
            ends = np.zeros((len(places), 2, 3))
            ends[:, 0] = places - 1  # without the padding
            ends[:, 0, across] += 0.5 * side
            ends[:, 0, along] -= 0.5
            ends[:, 1, along] = 1
            lines.append(ends)
            values.append(padded[tuple(places.T)])
    return np.concatenate(lines), np.concatenate(values)
