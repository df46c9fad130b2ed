"""Sites: connected places where the two networks disagree, to be walked worst first.

At a site the disagreement is of one kind: A says one class and B another, the same two all over
it. Disagreements of another kind beside it are another site, since the answer may be another.
Which voxels are discrepant does not depend on any threshold, so the sites are found once; a
threshold only decides how much of each is suspicious.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cc3d
import numpy as np
import numpy.typing as npt

from napari_metassl.data.prediction import (
    AGREEMENT,
    CODE_CLASS,
    CODE_CONFIDENCE,
    PredictionPair,
)
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.table_view import Codes
from napari_metassl.method.region import Region

MINIMUM_MM3 = 20.0
_ROUNDING = 1e-5  # what is just at the reach belongs to it

Indices = npt.NDArray[np.int64]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Site:
    """One connected place where the networks disagree about the same two classes.

    Attributes
    ----------
    id
        0, 1, ... from the largest site to the smallest; the same at every threshold.
    center
        (z, y, x) of a voxel of the site, in the slice that holds most of it.
    box
        Smallest box around it.
    voxels : (N,) int64
        Flat indices, ascending.
    ml
        Volume in mL.
    classes
        What the supervised and what the reference network says here.
    mean_confidence
        Of both networks together.
    """

    id: int
    center: tuple[int, int, int]
    box: Box
    voxels: Indices
    ml: float
    classes: tuple[int, int]
    mean_confidence: float


@dataclass(frozen=True, eq=False)
class RankedSite:
    """A site and how much of it is suspicious at the thresholds of the moment.

    Attributes
    ----------
    ds_voxels
        DS voxels.
    ds_ml
        Their volume in mL.
    """

    site: Site
    ds_voxels: int
    ds_ml: float


@dataclass(frozen=True, eq=False)
class SiteIndex:
    """All sites of a prediction of at least some volume.

    Attributes
    ----------
    shape, spacing
        Of the volume, (z, y, x), mm.
    voxels : (N,) int64
        Flat indices of the voxels of all sites, site after site.
    codes : (2, N) uint16
        Their codes.
    starts : (S + 1,) int64
        Where each site begins in `voxels`.
    folded, folded_ml
        How many sites are smaller than asked for and left out, and their volume in mL.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    voxels: Indices
    codes: Codes
    starts: Indices
    folded: int
    folded_ml: float
    _made: dict[int, Site] = field(default_factory=dict, repr=False)

    @classmethod
    def from_prediction(
        cls, prediction: PredictionPair, minimum_mm3: float = MINIMUM_MM3
    ) -> SiteIndex:
        """Find the 26-connected components of each kind of disagreement, largest first."""
        kinds = _kinds_of_disagreement(prediction.codes)
        flat = np.flatnonzero(kinds)
        spacing = prediction.geometry.spacing
        components = cc3d.connected_components(kinds, connectivity=26)  # 1, 2, ...; 0 outside
        component = components.reshape(-1)[flat].astype(np.int64) - 1
        sizes = np.bincount(component)
        kept = int((sizes * np.prod(spacing) >= minimum_mm3).sum())
        site_of = np.empty(len(sizes), np.int64)
        site_of[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
        site = site_of[component]
        inside = site < kept
        order = np.argsort(site[inside], kind="stable")  # stable: ascending within a site
        voxels = flat[inside][order]
        return cls(
            shape=prediction.shape,
            spacing=spacing,
            voxels=voxels,
            codes=prediction.codes.reshape(2, -1)[:, voxels],
            starts=np.concatenate([[0], np.cumsum(np.sort(sizes)[::-1][:kept])]).astype(np.int64),
            folded=len(sizes) - kept,
            folded_ml=float((~inside).sum()) * prediction.geometry.voxel_volume_ml,
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def site(self, site_id: int) -> Site:
        """Return the site with this id."""
        if not 0 <= site_id < len(self):
            raise IndexError(f"Got site {site_id}, but there are {len(self)}. Count from 0.")
        if site_id not in self._made:
            self._made[site_id] = self._make(site_id)
        return self._made[site_id]

    def suspicious(self, quadripartition: Quadripartition) -> Indices:
        """Voxels of every site that are DS at the present thresholds, (S,)."""
        if not len(self):
            return np.zeros(0, np.int64)
        regions = quadripartition.region_of(self.codes)
        counts: Indices = np.add.reduceat(regions == Region.DS, self.starts[:-1], dtype=np.int64)
        return counts

    def ranked(
        self, quadripartition: Quadripartition, limit: int | None = None
    ) -> list[RankedSite]:
        """Sites by their DS volume at the present thresholds, worst first, then by size."""
        suspicious = self.suspicious(quadripartition)
        voxel_ml = float(np.prod(self.spacing)) / 1000
        return [
            RankedSite(self.site(int(k)), int(suspicious[k]), float(suspicious[k]) * voxel_ml)
            for k in np.argsort(-suspicious, kind="stable")[:limit]
        ]

    def site_at(self, voxel: Sequence[int]) -> Site | None:
        """Find the site a voxel (z, y, x) belongs to; None outside all of them."""
        at = np.flatnonzero(self.voxels == np.ravel_multi_index(tuple(voxel), self.shape))
        if not len(at):
            return None
        return self.site(int(np.searchsorted(self.starts, at[0], side="right")) - 1)

    def _make(self, site_id: int) -> Site:
        part = slice(self.starts[site_id], self.starts[site_id + 1])
        voxels, codes = self.voxels[part], self.codes[:, part]
        places = np.stack(np.unravel_index(voxels, self.shape))
        a, b = (int(k) for k in CODE_CLASS[codes[:, 0]])
        z, y, x = (slice(int(a.min()), int(a.max()) + 1) for a in places)
        return Site(
            id=site_id,
            center=_center(places, self.spacing),
            box=(z, y, x),
            voxels=voxels,
            ml=len(voxels) * float(np.prod(self.spacing)) / 1000,
            classes=(a, b),
            mean_confidence=float(CODE_CONFIDENCE[codes].mean(dtype=np.float64)),
        )


def site_neighbourhood(
    site: Site, shape: Sequence[int], spacing: Sequence[float], reach_mm: float
) -> Indices:
    """Flat indices of all voxels within `reach_mm` of a site, the site's own included, ascending.

    Distances are between voxel centers, in mm.
    """
    around = [
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size, margin in zip(
            site.box, shape, [int(reach_mm // step) + 1 for step in spacing], strict=True
        )
    ]
    corner = np.array([part.start for part in around])[:, None]
    squared = np.full([part.stop - part.start for part in around], np.inf, np.float32)
    places = np.stack(np.unravel_index(site.voxels, tuple(shape))) - corner
    squared[tuple(places)] = 0
    for axis, step in enumerate(spacing):
        squared = _nearest_along(axis, step, squared, reach_mm)
    near = squared <= (reach_mm * (1 + _ROUNDING)) ** 2
    z, y, x = np.ogrid[tuple(around)]
    voxels: Indices = ((z * shape[1] + y) * shape[2] + x)[near]
    return voxels


def _kinds_of_disagreement(codes: Codes) -> npt.NDArray[np.uint16]:
    """Give each pair of classes (A says, B says) a number, 0 where they agree, (Z, Y, X)."""
    kinds = np.zeros(codes.shape[1:], np.uint16)
    for z, (first, second) in enumerate(zip(*codes, strict=True)):  # slice by slice: less memory
        differ = first < AGREEMENT
        kinds[z][differ] = (
            CODE_CLASS[first[differ]].astype(np.uint16) << 8 | CODE_CLASS[second[differ]]
        )
    return kinds


def _nearest_along(
    axis: int, step: float, squared: npt.NDArray[np.float32], reach_mm: float
) -> npt.NDArray[np.float32]:
    """Squared distance in mm to the nearest seed, one axis more considered, exact up to the reach.

    The square of a distance is a sum over axes, so its minimum can be found axis after axis.
    """
    nearest = squared.copy()
    old, new = np.moveaxis(squared, axis, 0), np.moveaxis(nearest, axis, 0)
    for k in range(1, min(len(old), int(reach_mm / step + _ROUNDING) + 1)):
        away = np.float32((k * step) ** 2)
        np.minimum(new[k:], old[:-k] + away, out=new[k:])
        np.minimum(new[:-k], old[k:] + away, out=new[:-k])
    return nearest


def _center(places: Indices, spacing: Sequence[float]) -> tuple[int, int, int]:
    """Of the slice with most voxels, the voxel nearest to their mean."""
    slice_ = int(np.bincount(places[0]).argmax())
    within = places[1:, places[0] == slice_]
    offset = (within - within.mean(axis=1, keepdims=True)) * np.asarray(spacing[1:])[:, None]
    y, x = within[:, np.square(offset).sum(axis=0).argmin()]
    return slice_, int(y), int(x)
