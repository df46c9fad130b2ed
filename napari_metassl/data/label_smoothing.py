"""Smooths the outline of one class near a site."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from napari_metassl.data.corrections import BACKGROUND_MARK
from napari_metassl.data.sites import Indices
from napari_metassl.data.surroundings import Surroundings

SIGMA_MM = 1.5
"""Standard deviation of the Gaussian, never less than 3/4 of the finest voxel size."""


def smooth_class(
    around: Surroundings, corrected: npt.NDArray[np.uint8], value: int, reach_mm: float
) -> tuple[Indices, npt.NDArray[np.uint8]]:
    """Smooth the outline of a class within some distance of a site.

    A voxel belongs to the smoothed class where more than half of its weighted neighbourhood does.
    What joins the class was untouched; what leaves it was painted as it, or predicted and
    untouched, and becomes the commonest other class around it. What a person painted as another
    class stays.

    Parameters
    ----------
    corrected : (Z, Y, X) uint8
        Values of the corrections in the box.
    value
        Value of the class in the corrections.

    Returns
    -------
    voxels : (N,) int64
        Flat indices in the volume.
    labels : (N,) uint8
        Their new classes.
    """
    number = 0 if value == BACKGROUND_MARK else value
    sigma = [max(SIGMA_MM, 0.75 * min(around.spacing)) / step for step in around.spacing]
    shares = {
        int(k): gaussian_filter((around.shown == k).astype(np.float32), sigma, mode="nearest")
        for k in np.unique(around.shown)
    }
    own = shares.pop(number, None)
    if own is None or not shares:
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    others = np.array(list(shares), np.uint8)[np.argmax(list(shares.values()), axis=0)]
    joins = (own > 0.5) & (around.shown != number) & ~around.touched
    leaves = (own <= 0.5) & (around.shown == number) & (~around.touched | (corrected == value))
    places = around.near(joins | leaves, reach_mm)
    at = tuple(places)
    labels = np.where(joins[at], np.uint8(number), others[at])
    return around.flat(places), labels
