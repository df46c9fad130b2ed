"""Takes what was painted on a neighbouring slice over to a slice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def copy_slice(
    labels: npt.NDArray[np.uint8], value: int, axis: int, position: int, step: int
) -> npt.NDArray[np.int64]:
    """Find the untouched voxels of a slice beside which `value` was painted.

    Parameters
    ----------
    labels : (Z, Y, X) uint8
        The corrections; 0 is untouched.
    axis, position
        The slice to be painted.
    step
        -1 to copy from the slice before, +1 from the one after.

    Returns
    -------
    (N,) int64
        Flat indices, ascending; none if there is no such slice.
    """
    stack = np.moveaxis(labels, axis, 0)
    if not 0 <= position + step < len(stack):
        return np.zeros(0, np.int64)
    wanted = (stack[position + step] == value) & (stack[position] == 0)
    places = np.insert(np.stack(np.nonzero(wanted)), axis, position, axis=0)
    voxels: npt.NDArray[np.int64] = np.ravel_multi_index(tuple(places), labels.shape)
    return voxels
