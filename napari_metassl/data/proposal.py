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
from napari_metassl.data.sites import Box, Indices
from napari_metassl.data.surroundings import ROUNDING, Flags, Places, Surroundings

Labels = npt.NDArray[np.uint8]

IMAGE_REACH_MM = 6.0
"""So far from the site the proposal that follows the image may change a label."""
SEEN_MM = 6.0
"""So much farther walkers may go before they meet a sure voxel; a short reach finds seeds too."""
MOST_FREE = 30_000
"""More voxels than these the image is not followed in; it is in those nearest to the site."""
_ONE_VOXEL = (slice(0, 1), slice(0, 1), slice(0, 1))


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
        Flat indices, ascending: the site's, and those around that would change. The image decides
        neither about voxels a person decided about, nor about more than `MOST_FREE`.
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
    if source is Source.IMAGE:
        places, labels, of_site = _following_image(around, reach_of(source, grow_mm))
    else:
        own = around.own[Network.SUPERVISED if source is Source.A else Network.REFERENCE]
        places, labels, of_site = _carried_outward(around, own, grow_mm)
    changed = labels != around.shown[tuple(places)]
    kept = np.flatnonzero(changed | of_site)
    voxels = around.flat(places[:, kept])
    order = np.argsort(voxels)
    kept = kept[order]
    return Proposal(source, grow_mm, voxels[order], labels[kept], changed[kept])


def _carried_outward(
    around: Surroundings, own: Labels, grow_mm: float
) -> tuple[Places, Labels, Flags]:
    """Give the site, and unsure voxels around it, the label of the nearest voxel of it."""
    site = around.site_places
    if grow_mm < 0:
        deep = _depth(around) > -grow_mm * (1 + ROUNDING)
        return site, np.where(deep, own, around.shown[tuple(site)]), np.ones(len(own), bool)
    places, distance, origin = around.connected(~around.sure & ~around.touched, grow_mm)
    beyond = distance > 0
    labels = np.concatenate([own, own[origin[beyond]]])
    both = np.concatenate([site, places[:, beyond]], axis=1)
    return both, labels, np.arange(len(labels)) < len(own)


def _depth(around: Surroundings) -> npt.NDArray[np.float64]:
    """Distance of the site's voxels to the nearest voxel that is not of the site, mm, (N,)."""
    inside = np.zeros(around.shown.shape, bool)
    inside[tuple(around.site_places)] = True
    depth = distance_transform_edt(np.pad(inside, 1), sampling=around.spacing)[1:-1, 1:-1, 1:-1]
    found: npt.NDArray[np.float64] = depth[tuple(around.site_places)]
    return found


def _following_image(around: Surroundings, reach_mm: float) -> tuple[Places, Labels, Flags]:
    """Let random walkers decide the unsure voxels near the site, from what is sure around them."""
    start = walkers_start(around, reach_mm)
    answer = random_walk(around.image[:, *start.part], start.seeds, around.spacing)
    decided = answer[tuple(start.places)]
    places = start.places + np.array([part.start for part in start.part])[:, None]
    shown = around.shown[tuple(places)]
    labels = np.where(decided > 0, decided - 1, shown).astype(np.uint8)
    return places, labels, start.of_site


@dataclass(frozen=True, eq=False)
class WalkersStart:
    """From where the image is followed.

    Attributes
    ----------
    part
        The part of the box that is needed.
    seeds : (Z, Y, X) int16
        In it: class + 1 where the pair is sure or a person decided; 0 where it is not and the
        site is near; `WALL` where it is not and the site is far.
    places : (3, M)
        In it: the free voxels within the reach; only these may change.
    of_site : (M,) bool
        Which of them are of the site.
    """

    part: Box
    seeds: npt.NDArray[np.int16]
    places: Places
    of_site: Flags


def walkers_start(around: Surroundings, reach_mm: float) -> WalkersStart:
    """Collect the unsure voxels near the site, and the seeds around them."""
    fixed = around.sure | around.touched
    if fixed[tuple(around.site_places)].all():
        nothing = np.zeros((3, 0), np.int64)
        return WalkersStart(_ONE_VOXEL, np.zeros((1, 1, 1), np.int16), nothing, np.zeros(0, bool))
    places, distance, _ = around.connected(~fixed, reach_mm + SEEN_MM, MOST_FREE)
    z, y, x = (
        slice(max(0, int(axis.min()) - 1), int(axis.max()) + 2) for axis in places
    )  # the seeds that can be met touch the free voxels
    part = (z, y, x)
    known = around.shown[part].astype(np.int16) + 1
    seeds = np.where(fixed[part], known, WALL).astype(np.int16)
    inside = places - np.array([one.start for one in part])[:, None]
    seeds[tuple(inside)] = 0
    within = distance <= reach_mm * (1 + ROUNDING)
    return WalkersStart(part, seeds, inside[:, within], distance[within] == 0)
