"""Sites: places where the two networks disagree, to be walked worst first.

A site is a place a person would see as one (see `napari_metassl.data.site_groups`). At most of
its voxels A says one class and B another, the same two; a few of another kind may be among them.
Which voxels are discrepant does not depend on any threshold, so the sites are found once; a
threshold only decides how much of each is suspicious, and so its rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_metassl.data.neighbourhood import ROUNDING, neighbourhood
from napari_metassl.data.prediction import (
    AGREEMENT,
    CODE_CLASS,
    CODE_CONFIDENCE,
    PredictionPair,
)
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.site_groups import group_places, scale_of
from napari_metassl.data.table_view import Codes
from napari_metassl.method.region import Region

MINIMUM_MM3 = 100.0
"""A smaller place is a speck: folded away, and still to be had."""
AT_MOST = 20
"""More places than this nobody walks: the smallest are folded away too."""
UNSURE_WITHIN_MM = 3.0
"""The neighbourhood whose uncertainty counts for a site; errors reach further than DS."""

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.float64]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Kind:
    """One kind of disagreement at a site: what A says, what B says, at how many voxels."""

    a: int
    b: int
    voxels: int


@dataclass(frozen=True, eq=False)
class Site:
    """One place where the networks disagree.

    Attributes
    ----------
    id
        0, 1, ... from the largest site to the smallest; the same at every threshold.
    box
        Smallest box around it.
    voxels : (N,) int64
        Flat indices, ascending.
    places : (3, N) int64
        The same voxels as (z, y, x).
    codes : (2, N) uint16
        Their codes.
    ml
        Volume in mL.
    kinds
        What the supervised (A) and the reference network (B) say here, most frequent first.
    mean_confidence
        Of both networks together.
    expected_error_ml
        Volume that is wrong, in and around the site, if the confidences can be believed.
    """

    id: int
    box: Box
    voxels: Indices
    places: Indices
    codes: Codes
    ml: float
    kinds: tuple[Kind, ...]
    mean_confidence: float
    expected_error_ml: float

    @property
    def classes(self) -> tuple[int, int]:
        """What A and what B say at most of its voxels."""
        return self.kinds[0].a, self.kinds[0].b

    def telling_slice(self, axis: int, suspicious: Mask) -> tuple[int, Box]:
        """Slice across `axis` that shows most of what is suspicious, and the site's box in it.

        Parameters
        ----------
        suspicious : (N,) bool
            Which of the voxels are DS; where none is, all count.
        """
        counted = self.places[:, suspicious] if suspicious.any() else self.places
        at = int(np.bincount(counted[axis]).argmax())
        return at, _box_around(self.places[:, self.places[axis] == at])


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
    """All sites of a prediction, then its specks: sites too, but too small to be walked.

    ``len`` counts the sites; the ids of the specks follow theirs.

    Attributes
    ----------
    voxels : (N,) int64
        Flat indices of all discrepant voxels, site after site.
    codes : (2, N) uint16
        Their codes.
    starts : (S + 1,) int64
        Where each site or speck begins in `voxels`.
    listed
        How many of them are sites.
    """

    prediction: PredictionPair
    voxels: Indices
    codes: Codes
    starts: Indices
    listed: int
    _made: dict[int, Site] = field(default_factory=dict, repr=False)

    @classmethod
    def from_prediction(
        cls,
        prediction: PredictionPair,
        minimum_mm3: float = MINIMUM_MM3,
        at_most: int = AT_MOST,
    ) -> SiteIndex:
        """Group the discrepant voxels, largest group first."""
        flat, codes = _discrepant(prediction.codes)
        spacing, shape = prediction.geometry.spacing, prediction.shape
        scale = scale_of(shape, spacing)
        kinds = CODE_CLASS[codes[0]].astype(np.int64) << 8 | CODE_CLASS[codes[1]]
        places = np.stack(np.unravel_index(flat, shape))
        group = group_places(places, kinds, spacing, scale)
        sizes = np.bincount(group)
        large = sizes * np.prod(spacing) >= minimum_mm3 * scale**3
        number = np.empty(len(sizes), np.int64)
        number[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
        order = np.argsort(number[group], kind="stable")  # stable: ascending within a site
        made = cls(
            prediction=prediction,
            voxels=flat[order],
            codes=codes[:, order],
            starts=np.concatenate([[0], np.cumsum(np.sort(sizes)[::-1])]).astype(np.int64),
            listed=min(int(large.sum()), at_most),
        )
        for site_id in range(len(made)):  # now, so that nobody waits for it later
            made.site(site_id)
        return made

    def __len__(self) -> int:
        return self.listed

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the volume, (z, y, x)."""
        return self.prediction.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Of the volume, (z, y, x), in mm."""
        return self.prediction.geometry.spacing

    @property
    def total(self) -> int:
        """Number of sites and specks."""
        return len(self.starts) - 1

    @property
    def folded(self) -> int:
        """Number of specks."""
        return self.total - self.listed

    @property
    def folded_ml(self) -> float:
        """Volume of all specks, in mL."""
        voxels = len(self.voxels) - int(self.starts[self.listed])
        return voxels * self.prediction.geometry.voxel_volume_ml

    def site(self, site_id: int) -> Site:
        """Return the site or speck with this id."""
        if not 0 <= site_id < self.total:
            raise IndexError(f"Got site {site_id}, but there are {self.total}. Count from 0.")
        if site_id not in self._made:
            self._made[site_id] = self._make(site_id)
        return self._made[site_id]

    def suspicious(self, quadripartition: Quadripartition, *, specks: bool = False) -> Indices:
        """DS voxels of every site, and of every speck if asked, at the present thresholds."""
        count = self.total if specks else self.listed
        if not count:
            return np.zeros(0, np.int64)
        regions = quadripartition.region_of(self.codes[:, : self.starts[count]])
        counts: Indices = np.add.reduceat(regions == Region.DS, self.starts[:count], dtype=np.int64)
        return counts

    def ranked(self, quadripartition: Quadripartition, *, specks: bool = False) -> list[RankedSite]:
        """Sites by their DS volume at the present thresholds, worst first, then by size.

        With `specks`, these are ranked among them.
        """
        suspicious = self.suspicious(quadripartition, specks=specks)
        voxel_ml = self.prediction.geometry.voxel_volume_ml
        return [
            RankedSite(self.site(int(k)), int(suspicious[k]), float(suspicious[k]) * voxel_ml)
            for k in np.argsort(-suspicious, kind="stable")
        ]

    def site_at(
        self, voxel: Sequence[int], within_mm: float = 0.0, across: int | None = None
    ) -> Site | None:
        """Find the site or speck nearest to a voxel (z, y, x), if it is near enough.

        Parameters
        ----------
        across
            Axis along which it must not be looked for: what is on display is a slice.
        """
        spacing = np.asarray(self.spacing)
        reach = (within_mm / spacing + ROUNDING).astype(np.int64)
        if across is not None:
            reach[across] = 0
        box = [slice(max(0, v - r), v + r + 1) for v, r in zip(voxel, reach, strict=True)]
        near = np.argwhere(self.prediction.codes[0][tuple(box)] < AGREEMENT)
        near += [part.start for part in box]
        far = np.linalg.norm((near - np.asarray(voxel)) * spacing, axis=1)
        if not len(far) or far.min() > within_mm * (1 + ROUNDING):
            return None
        return self._site_of(near[far.argmin()])

    def site_along(self, start: Places, step: Places) -> Site | None:
        """Find the first site or speck on a line of sight through the volume.

        Parameters
        ----------
        start, step : (3,) float
            A point of the line, anywhere on it, and the way to look, in voxels (z, y, x).
        """
        reach = int((np.linalg.norm(self.shape) + np.abs(start).max()) / np.linalg.norm(step)) + 1
        line = np.rint(start + np.arange(-reach, reach + 1)[:, None] * step).astype(np.int64)
        line = line[((line >= 0) & (line < self.shape)).all(1)]
        hit = np.flatnonzero(self.prediction.codes[0][tuple(line.T)] < AGREEMENT)
        return self._site_of(line[hit[0]]) if len(hit) else None

    def _site_of(self, voxel: Indices) -> Site:
        """Return the site of a discrepant voxel."""
        at = np.flatnonzero(self.voxels == np.ravel_multi_index(tuple(voxel), self.shape))[0]
        return self.site(int(np.searchsorted(self.starts, at, side="right")) - 1)

    def _make(self, site_id: int) -> Site:
        part = slice(self.starts[site_id], self.starts[site_id + 1])
        voxels, codes = self.voxels[part], self.codes[:, part]
        places = np.stack(np.unravel_index(voxels, self.shape))
        reach = UNSURE_WITHIN_MM * scale_of(self.shape, self.spacing)
        around = neighbourhood(places, self.shape, self.spacing, reach)
        nearby = self.prediction.codes.reshape(2, -1)[:, around]
        return Site(
            id=site_id,
            box=_box_around(places),
            voxels=voxels,
            places=places,
            codes=codes,
            ml=len(voxels) * self.prediction.geometry.voxel_volume_ml,
            kinds=_kinds(codes),
            mean_confidence=float(CODE_CONFIDENCE[codes].mean(dtype=np.float64)),
            expected_error_ml=_expected_errors(nearby) * self.prediction.geometry.voxel_volume_ml,
        )


def site_neighbourhood(
    site: Site, shape: Sequence[int], spacing: Sequence[float], reach_mm: float
) -> Indices:
    """Flat indices of all voxels within `reach_mm` of a site, the site's own included, ascending.

    Distances are between voxel centers, in mm.
    """
    return neighbourhood(site.places, shape, spacing, reach_mm)


def _discrepant(codes: Codes) -> tuple[Indices, Codes]:
    """Flat indices of the discrepant voxels, ascending, and their codes, (N,) and (2, N)."""
    size, found = codes[0, 0].size, [np.zeros(0, np.int64)]
    for z, first in enumerate(codes[0]):  # slice by slice: less memory
        found.append(np.flatnonzero(first < AGREEMENT) + z * size)
    flat = np.concatenate(found)
    return flat, codes.reshape(2, -1)[:, flat]


def _kinds(codes: Codes) -> tuple[Kind, ...]:
    """Count what A and B say, most frequent first."""
    pairs = CODE_CLASS[codes[0]].astype(np.int64) << 8 | CODE_CLASS[codes[1]]
    counts = np.bincount(pairs)
    most = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    return tuple(Kind(int(k) >> 8, int(k) & 255, int(counts[k])) for k in most)


def _expected_errors(codes: Codes) -> float:
    """How many of some voxels, (2, N), the pair's answer gets wrong, if it is as sure as it says.

    The pair's answer is that of the more confident network. Taken together, both give it the mean
    of their probabilities; for the one that says otherwise that is at most what its own answer
    leaves over.
    """
    first, second = CODE_CONFIDENCE[codes].astype(np.float64)
    agree = codes[0] >= AGREEMENT
    wrong = np.where(agree, 2 - first - second, 1 - np.abs(first - second)) / 2
    return float(wrong.sum())


def _box_around(places: Indices) -> Box:
    z, y, x = (slice(int(axis.min()), int(axis.max()) + 1) for axis in places)
    return z, y, x
