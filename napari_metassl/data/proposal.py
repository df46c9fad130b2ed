"""Proposed corrections of a site: a network's own label, or the one that follows the image.

What disagrees points at an error but is not its extent: most of it lies in suspicious voxels
around, on whose wrong label both networks agree. So a proposal may reach beyond the site, as far as
the networks are not both confident of the same, and never over what a person said.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from napari_metassl.data.prediction import Network
from napari_metassl.data.random_walk import WALL, random_walk
from napari_metassl.data.sites import Indices
from napari_metassl.data.surroundings import Surroundings

IMAGE_REACH_MM = 6.0
"""So far from the site the proposal that follows the image may change a label."""
SEEN_MM = 6.0
"""So much farther walkers may go before they meet a sure voxel; a short reach finds seeds too."""
_ROUNDING = 1e-5
MOST_FREE = 30_000
"""More voxels than these are not asked for in one proposal; those nearest to the site are."""


class Source(StrEnum):
    """What a proposal follows."""

    A = "A"
    B = "B"
    IMAGE = "image"


@dataclass(frozen=True, eq=False)
class Proposal:
    """What some voxels of and around a site would become.

    Attributes
    ----------
    source, grow_mm
        What it was made from.
    voxels : (N,) int64
        Flat indices: the site's, and those around that would change.
    labels : (N,) uint8
        Their classes.
    changed : (N,) bool
        Where that is another class than counts now.
    """

    source: Source
    grow_mm: float
    voxels: Indices
    labels: npt.NDArray[np.uint8]
    changed: npt.NDArray[np.bool_]

    def change_ml(self, voxel_volume_ml: float) -> dict[int, float]:
        """Volume in mL that would become each class."""
        counts = np.bincount(self.labels[self.changed])
        return {int(k): float(counts[k] * voxel_volume_ml) for k in np.flatnonzero(counts)}


def reach_of(source: Source, grow_mm: float) -> float:
    """How far from the site a proposal may change a label, in mm."""
    return max(0.0, grow_mm + (IMAGE_REACH_MM if source is Source.IMAGE else 0.0))


def seen_mm(source: Source, grow_mm: float) -> float:
    """How far around the site must be known for a proposal, in mm."""
    return reach_of(source, grow_mm) + (SEEN_MM if source is Source.IMAGE else 0.0)


def propose(around: Surroundings, source: Source, grow_mm: float = 0.0) -> Proposal:
    """Make a proposal for the site `around` was cut out for.

    Parameters
    ----------
    grow_mm
        A network's label is given to the voxels of the site, and up to `grow_mm` around it where
        the pair is not sure; below 0, only to voxels deeper within the site than that. The
        proposal that follows the image reaches so much farther than `IMAGE_REACH_MM`; it changes
        nothing where a person has decided about every voxel of the site.
    """
    reach = reach_of(source, grow_mm)
    if source is Source.IMAGE:
        finished = bool(around.touched[tuple(around.site_places)].all())
        proposed = around.shown if finished else _following_image(around, reach)
    else:
        own = around.own[Network.SUPERVISED if source is Source.A else Network.REFERENCE]
        proposed = _carried_outward(around, own, reach) if grow_mm >= 0 else around.shown.copy()
        at = tuple(around.site_places)
        deep = slice(None) if grow_mm >= 0 else _depth(around) > -grow_mm * (1 + _ROUNDING)
        inside = np.asarray(proposed[at])
        inside[deep] = own[deep]
        proposed[at] = inside
    of_site = np.zeros(around.shown.shape, bool)
    of_site[tuple(around.site_places)] = True
    if source is Source.IMAGE:
        of_site &= ~around.touched
    changed = proposed != around.shown
    asked = changed | of_site
    voxels = around.flat(np.stack(np.nonzero(asked)))
    return Proposal(source, grow_mm, voxels, proposed[asked], changed[asked])


def _carried_outward(
    around: Surroundings, own: npt.NDArray[np.uint8], reach_mm: float
) -> npt.NDArray[np.uint8]:
    """Give unsure voxels around the site the label of the nearest voxel of it."""
    proposed = around.shown.copy()
    if reach_mm > 0:
        places, _, nearest = around.near(~around.sure & ~around.touched, reach_mm)
        proposed[tuple(places)] = own[nearest]
    return proposed


def _depth(around: Surroundings) -> npt.NDArray[np.float64]:
    """Distance of the site's voxels to the nearest voxel that is not of the site, mm, (N,)."""
    inside = np.zeros(around.shown.shape, bool)
    inside[tuple(around.site_places)] = True
    depth = distance_transform_edt(np.pad(inside, 1), sampling=around.spacing)[1:-1, 1:-1, 1:-1]
    found: npt.NDArray[np.float64] = depth[tuple(around.site_places)]
    return found


def _following_image(around: Surroundings, reach_mm: float) -> npt.NDArray[np.uint8]:
    """Let random walkers decide the unsure voxels near the site, from what is sure around them."""
    seeds, within = walkers_seeds(around, reach_mm)
    answer = random_walk(around.image, seeds, around.spacing)
    decided = within & (answer > 0)
    proposed = around.shown.copy()
    proposed[decided] = answer[decided] - 1
    return proposed


def walkers_seeds(
    around: Surroundings, reach_mm: float
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """Make the seeds from which the image is followed.

    Returns
    -------
    seeds : (Z, Y, X) int16
        Class + 1 where the pair is sure or a person decided; 0 where it is not and the site is
        near; `WALL` where it is not and the site is far.
    within : (Z, Y, X) bool
        The free voxels within the reach: only these may change.
    """
    fixed = around.sure | around.touched
    places, distance, _ = around.near(~fixed, reach_mm + SEEN_MM)
    if len(distance) > MOST_FREE:
        nearest = np.argpartition(distance, MOST_FREE)[:MOST_FREE]
        places, distance = places[:, nearest], distance[nearest]
    seeds = np.where(fixed, around.shown.astype(np.int16) + 1, WALL).astype(np.int16)
    seeds[tuple(places)] = 0
    within = np.zeros(fixed.shape, bool)
    within[tuple(places[:, distance <= reach_mm * (1 + _ROUNDING)])] = True
    return seeds, within
