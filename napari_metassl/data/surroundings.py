"""What is known around a site, cut out of the volume: all that a proposal is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_metassl.data.corrections import BACKGROUND_MARK
from napari_metassl.data.prediction import Network
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.sites import Box, Indices, Site
from napari_metassl.method.region import Region

MARGIN = 2
"""Voxels of seeds that are seen beyond the reach."""

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The box around a site. All arrays are copies, so another thread may read them.

    Attributes
    ----------
    box
        Where it was cut out.
    volume_shape, spacing
        Of the whole volume, (z, y, x), mm.
    site : (N,) int64
        Flat indices of the site's voxels in the volume.
    own : (2, N) uint8
        What each network says at the site's voxels.
    shown : (Z, Y, X) uint8
        The class that counts now: a person's where touched, else the pair's.
    touched : (Z, Y, X) bool
        What a person confirmed or corrected.
    sure : (Z, Y, X) bool
        Unanimous and confident.
    image : (C, Z, Y, X) float32
    """

    box: Box
    volume_shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    site: Indices
    own: Bytes
    shown: Bytes
    touched: Flags
    sure: Flags
    image: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        site: Site,
        quadripartition: Quadripartition,
        images: Sequence[npt.NDArray[np.generic]],
        corrected: Bytes,
        reach_mm: float,
    ) -> Surroundings:
        """Cut out the box of a site, grown by `reach_mm` and a margin.

        Parameters
        ----------
        images
            Channels, (Z, Y, X) each.
        corrected : (Z, Y, X) uint8
            Values of the corrections.
        """
        prediction = quadripartition.prediction
        spacing = prediction.geometry.spacing
        z, y, x = (
            slice(max(0, part.start - far), min(size, part.stop + far))
            for part, size, far in zip(
                site.box,
                prediction.shape,
                [int(reach_mm / step) + MARGIN for step in spacing],
                strict=True,
            )
        )
        box = (z, y, x)
        said = corrected[box]
        by_person = np.where(said == BACKGROUND_MARK, 0, said).astype(np.uint8)
        at = np.unravel_index(site.voxels, prediction.shape)
        return cls(
            box=box,
            volume_shape=prediction.shape,
            spacing=spacing,
            site=site.voxels,
            own=np.stack([prediction.label_view(network)[at] for network in Network]),
            shown=np.where(said == 0, prediction.merged_view()[box], by_person),
            touched=said != 0,
            sure=np.asarray(quadripartition.regions[box]) == Region.UC,
            image=np.stack([np.asarray(one[box], np.float32) for one in images]),
        )

    @property
    def corner(self) -> npt.NDArray[np.int64]:
        """First voxel of the box, (3,)."""
        return np.array([part.start for part in self.box])

    @property
    def site_places(self) -> npt.NDArray[np.int64]:
        """(3, N) places of the site's voxels in the box."""
        places = np.stack(np.unravel_index(self.site, self.volume_shape))
        found: npt.NDArray[np.int64] = places - self.corner[:, None]
        return found

    def flat(self, places: npt.NDArray[np.int64]) -> Indices:
        """Flat indices in the volume of places in the box, (3, N)."""
        moved = places + self.corner[:, None]
        flat: Indices = np.ravel_multi_index(tuple(moved), self.volume_shape).astype(np.int64)
        return flat

    def near(
        self, candidates: Flags, reach_mm: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Find the candidates within `reach_mm` of the site.

        Returns
        -------
        places : (3, M)
            In the box.
        distance : (M,)
            To the nearest voxel of the site, in mm, between centres.
        nearest : (M,)
            Which of the site's voxels that is.
        """
        step = np.asarray(self.spacing)[:, None]
        places = np.stack(np.nonzero(candidates))
        tree = cKDTree((self.site_places * step).T)
        limit = reach_mm * (1 + 1e-5) + 1e-5
        distance, nearest = tree.query((places * step).T, distance_upper_bound=limit)
        within = np.isfinite(distance)
        return places[:, within], distance[within], nearest[within]
