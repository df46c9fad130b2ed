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
ROUNDING = 1e-5
"""What is just at the reach belongs to it."""

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


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
    def corner(self) -> Places:
        """First voxel of the box, (3,)."""
        return np.array([part.start for part in self.box])

    @property
    def site_places(self) -> Places:
        """(3, N) places of the site's voxels in the box."""
        places = np.stack(np.unravel_index(self.site, self.volume_shape))
        found: Places = places - self.corner[:, None]
        return found

    def flat(self, places: Places) -> Indices:
        """Flat indices in the volume of places in the box, (3, N)."""
        moved = places + self.corner[:, None]
        flat: Indices = np.ravel_multi_index(tuple(moved), self.volume_shape).astype(np.int64)
        return flat

    def near(self, candidates: Flags, reach_mm: float) -> Places:
        """Find the candidates within `reach_mm` of the site, centre to centre: (3, M) places."""
        step = np.asarray(self.spacing)[:, None]
        places = np.stack(np.nonzero(candidates))
        tree = cKDTree((self.site_places * step).T)
        limit = reach_mm * (1 + ROUNDING) + ROUNDING
        distance, _ = tree.query((places * step).T, distance_upper_bound=limit)
        found: Places = places[:, np.isfinite(distance)]
        return found

    def connected(
        self, candidates: Flags, reach_mm: float, most: int | None = None
    ) -> tuple[Places, Floats, Indices]:
        """Walk from the site through candidates, as far as `reach_mm` from it.

        The cost is that of the voxels found, whatever the size of the box.

        Parameters
        ----------
        most
            Only so many: those nearest to the site, and of those as near the ones nearest to its
            middle.

        Returns
        -------
        places : (3, M)
            In the box; those of the site among them if they are candidates.
        distance : (M,)
            To the voxel of the site they were reached from, in mm.
        origin : (M,)
            Which of the site's voxels that is.
        """
        walk = _Walk(self, np.pad(candidates, 1), reach_mm * (1 + ROUNDING))
        while walk.go_on():
            if most is not None and walk.count > most:
                walk.narrow(most)
        places, distance, origin = walk.found()
        if most is not None and len(distance) > most:
            away = (places - self.site_places.mean(axis=1, keepdims=True)) * walk.step
            far = distance + 1e-6 * np.sqrt(np.square(away).sum(axis=0))
            kept = np.argpartition(far, most)[:most]
            places, distance, origin = places[:, kept], distance[kept], origin[kept]
        return places, distance, origin


class _Walk:
    """One front of voxels after the other, each reached from a neighbour of the front before."""

    def __init__(self, around: Surroundings, candidates: Flags, reach_mm: float) -> None:
        self.shape = candidates.shape
        self.step = np.asarray(around.spacing)[:, None]
        self.reach_mm = reach_mm
        self.site = around.site_places + 1  # in the padded box
        self.open = candidates.reshape(-1).copy()
        self.front = np.ravel_multi_index(tuple(self.site), self.shape)
        self.origin = np.arange(len(self.front))
        own = np.flatnonzero(self.open[self.front])
        self.open[self.front] = False
        self.parts = [(self.front[own], np.zeros(len(own)), own)]
        self.count = len(own)

    def go_on(self) -> bool:
        """Find the next front; False if there is none."""
        strides = (self.shape[1] * self.shape[2], self.shape[2], 1)
        flat = np.concatenate([self.front + by * sign for by in strides for sign in (1, -1)])
        origin = np.tile(self.origin, 6)
        fresh = self.open[flat]
        flat, origin = flat[fresh], origin[fresh]
        away = (np.stack(np.unravel_index(flat, self.shape)) - self.site[:, origin]) * self.step
        distance = np.sqrt(np.square(away).sum(axis=0))
        order = np.argsort(distance, kind="stable")
        flat, first = np.unique(flat[order], return_index=True)  # the shortest way to each
        chosen = order[first]
        kept = distance[chosen] <= self.reach_mm
        self.front, self.origin = flat[kept], origin[chosen][kept]
        self.open[self.front] = False
        self.parts.append((self.front, distance[chosen][kept], self.origin))
        self.count += len(self.front)
        return len(self.front) > 0

    def narrow(self, most: int) -> None:
        """Look from now on only for what is nearer than the `most` nearest found so far."""
        distances = np.concatenate([distance for _, distance, _ in self.parts])
        self.reach_mm = float(np.partition(distances, most - 1)[most - 1])

    def found(self) -> tuple[Places, Floats, Indices]:
        """All voxels found so far."""
        flat, distance, origin = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        return np.stack(np.unravel_index(flat, self.shape)) - 1, distance, origin
