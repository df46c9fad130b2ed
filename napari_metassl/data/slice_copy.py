"""Takes what was painted on a neighbouring slice over to a slice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_metassl.data.plane import Plane


def copy_slice(
    labels: npt.NDArray[np.uint8], value: int, plane: Plane, step: int
) -> npt.NDArray[np.int64]:
    """Find the untouched voxels of a slice beside which `value` was painted.

    Parameters
    ----------
    labels : (Z, Y, X) uint8
        The corrections; 0 is untouched.
    plane
        The slice to be painted.
    step
        -1 to copy from the slice before, +1 from the one after.

    Returns
    -------
    (N,) int64
        Flat indices, ascending; none if there is no such slice.
    """
    stack = np.moveaxis(labels, plane.axis, 0)
    if not 0 <= plane.position + step < len(stack):
        return np.zeros(0, np.int64)
    wanted = (stack[plane.position + step] == value) & (stack[plane.position] == 0)
    within = np.stack(np.nonzero(wanted))
    return plane.flat(np.insert(within, 0, plane.position, axis=0), labels.shape)
