"""The opened volume: what is shown of it and what can be done at its sites. Without Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_metassl.data.corrections import BACKGROUND_MARK, Corrections, Provenance
from napari_metassl.data.label_errors import LabelError, find_label_errors
from napari_metassl.data.prediction import CODE_CONFIDENCE, Network, PredictionPair
from napari_metassl.data.project import Project
from napari_metassl.data.proposal import Proposal, Source, propose, seen_mm
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.sites import Site, SiteIndex, site_neighbourhood
from napari_metassl.data.surroundings import Surroundings
from napari_metassl.data.table_view import TableView
from napari_metassl.data.volume import Volume
from napari_metassl.errors import ProjectProblem
from napari_metassl.method.region import Region

Flat = npt.NDArray[np.intp]
Bytes = npt.NDArray[np.uint8]


class SiteStatus(StrEnum):
    """How far a person is with a site; follows from the corrections, undo included."""

    OPEN = "open"
    SKIPPED = "skipped"
    CONFIRMED = "confirmed"
    CORRECTED = "corrected"

    @property
    def is_done(self) -> bool:
        """Whether every voxel of the site has been seen."""
        return self in {SiteStatus.CONFIRMED, SiteStatus.CORRECTED}


@dataclass(frozen=True, eq=False)
class ListedSite:
    """A site as it stands in the list at the thresholds of now."""

    site: Site
    ds_ml: float
    status: SiteStatus


class SiteOrder(StrEnum):
    """What the list of sites is ordered by."""

    DS = "DS volume"
    UNCERTAINTY = "uncertainty"
    SIZE = "size"
    CLASSES = "classes"
    STATUS = "status"


_KEYS: dict[SiteOrder, Callable[[ListedSite], Any]] = {
    SiteOrder.DS: lambda entry: -entry.ds_ml,
    SiteOrder.UNCERTAINTY: lambda entry: -entry.site.expected_error_ml,
    SiteOrder.SIZE: lambda entry: -entry.site.ml,
    SiteOrder.CLASSES: lambda entry: entry.site.classes,
    SiteOrder.STATUS: lambda entry: list(SiteStatus).index(entry.status),
}


@dataclass(frozen=True)
class Listing:
    """Which sites are listed and walked through, and in what order.

    Attributes
    ----------
    by
        Worst first, open ones first.
    turned
        The other way round.
    only
        The status they must have; None for any.
    specks
        Whether what is folded away for being small is listed too.
    """

    by: SiteOrder = SiteOrder.DS
    turned: bool = False
    only: SiteStatus | None = None
    specks: bool = False


@dataclass(eq=False, repr=False)
class Review:
    """One volume with everything known about it.

    Attributes
    ----------
    merged : TableView or None
        The pair's answer, (Z, Y, X).
    confidence : TableView or None
        Of the network that decides; the same object whichever it is.
    label_errors
        Places where both networks contradict the manual label, largest first.
    skipped
        Ids of the sites a person put aside, for this session only.
    """

    name: str
    images: tuple[Volume, ...]
    labels: Volume | None
    corrections: Corrections
    class_names: tuple[str, ...]
    class_colors: tuple[str, ...]
    prediction: PredictionPair | None = None
    quadripartition: Quadripartition | None = None
    sites: SiteIndex | None = None
    label_errors: tuple[LabelError, ...] = ()
    skipped: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.merged: TableView | None = None
        self.confidence: TableView | None = None
        if self.prediction is not None:
            self.merged = self.prediction.merged_view()
            self.confidence = self.prediction.confidence_view(Network.REFERENCE)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return self.images[0].shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (dz, dy, dx) in mm."""
        return self.images[0].geometry.spacing

    def show_confidence_of(self, network: int) -> None:
        """Let the confidence view say what another network's is."""
        if self.confidence is not None and self.prediction is not None:
            codes = self.prediction.codes[network]
            self.confidence.set_codes_and_tables([codes], [CODE_CONFIDENCE])

    # -- sites

    def ranked(self, listing: Listing = Listing()) -> list[ListedSite]:
        """Sites with their status, worst first at the thresholds of now, or as asked."""
        if self.sites is None or self.quadripartition is None:
            return []
        status = self._statuses(self.sites, self.sites.total if listing.specks else len(self.sites))
        entries = [
            ListedSite(entry.site, entry.ds_ml, status[entry.site.id])
            for entry in self.sites.ranked(self.quadripartition, specks=listing.specks)
        ]
        entries = [e for e in entries if listing.only in (None, e.status)]
        return sorted(entries, key=_KEYS[listing.by], reverse=listing.turned)

    def progress(self) -> tuple[int, int]:
        """How many of the sites are done, and how many there are."""
        if self.sites is None:
            return 0, 0
        statuses = self._statuses(self.sites, len(self.sites))
        return sum(status.is_done for status in statuses), len(statuses)

    def site(self, number: int | None) -> Site | None:
        """Return the site or speck with this id."""
        if self.sites is None or number is None or not 0 <= number < self.sites.total:
            return None
        return self.sites.site(number)

    def entry_of(self, site: Site) -> ListedSite:
        """Return a site or speck as it stands at the thresholds of now."""
        provenance = self.corrections.provenance.reshape(-1)[site.voxels]
        untouched = bool((provenance == Provenance.PREDICTED).any())
        corrected = bool((provenance == Provenance.CORRECTED).any())
        ds_ml = float(self.suspicious_at(site).mean()) * site.ml
        return ListedSite(site, ds_ml, self._status(site.id, untouched, corrected))

    def suspicious_at(self, site: Site) -> npt.NDArray[np.bool_]:
        """Which voxels of a site are DS at the thresholds of now, (N,)."""
        assert self.quadripartition is not None
        return np.asarray(self.quadripartition.region_of(site.codes) == Region.DS)

    def _statuses(self, sites: SiteIndex, count: int) -> list[SiteStatus]:
        """Status of the first so many sites and specks by their id."""
        if not count:
            return []
        provenance = self.corrections.provenance.reshape(-1)[sites.voxels[: sites.starts[count]]]
        starts = sites.starts[:count]
        untouched = np.logical_or.reduceat(provenance == Provenance.PREDICTED, starts)
        corrected = np.logical_or.reduceat(provenance == Provenance.CORRECTED, starts)
        return [self._status(n, untouched[n], corrected[n]) for n in range(count)]

    def _status(self, number: int, untouched: bool, corrected: bool) -> SiteStatus:
        if untouched:
            return SiteStatus.SKIPPED if number in self.skipped else SiteStatus.OPEN
        return SiteStatus.CORRECTED if corrected else SiteStatus.CONFIRMED

    def surroundings(self, site: Site, reach_mm: float) -> Surroundings:
        """Cut out what is known around a site."""
        assert self.quadripartition is not None
        images = [image.data for image in self.images]
        labels = self.corrections.labels
        return Surroundings.of(site, self.quadripartition, images, labels, reach_mm)

    def propose(self, site: Site, source: Source, grow_mm: float) -> Proposal:
        """Make a proposal for a site as things stand now."""
        return propose(self.surroundings(site, seen_mm(source, grow_mm)), source, grow_mm)

    def accept(self, site: Site, proposal: Proposal, reach_mm: float) -> tuple[Flat, Bytes]:
        """Voxels and values that make a proposal true; what lies around the site is confirmed."""
        around = self._untouched_around(site, reach_mm)
        around = np.setdiff1d(around, proposal.voxels, assume_unique=True)
        voxels = np.concatenate([proposal.voxels, around])
        return voxels, as_marks(np.concatenate([proposal.labels, self._merged_at(around)]))

    def confirm(self, site: Site, reach_mm: float) -> tuple[Flat, Bytes]:
        """Voxels and values that confirm a site as predicted, except what was said already."""
        labels = self.corrections.labels.reshape(-1)
        own = site.voxels[labels[site.voxels] == 0]
        voxels = np.concatenate([own, self._untouched_around(site, reach_mm)])
        return voxels, as_marks(self._merged_at(voxels))

    def settle(self, error: LabelError, *, label_is_right: bool) -> tuple[Flat, Bytes]:
        """Voxels and values that say at a possible label error who is right."""
        right = error.labeled if label_is_right else error.predicted
        return error.voxels, as_marks(np.full(len(error.voxels), right, np.uint8))

    def _untouched_around(self, site: Site, reach_mm: float) -> Flat:
        near = site_neighbourhood(site, self.shape, self.spacing, reach_mm)
        near = near[self.corrections.labels.reshape(-1)[near] == 0]
        return np.setdiff1d(near, site.voxels, assume_unique=True)

    def _merged_at(self, voxels: Flat) -> Bytes:
        assert self.merged is not None
        found: Bytes = self.merged[self._indices(voxels)]
        return found

    def _indices(self, voxels: Flat) -> tuple[Flat, ...]:
        return np.unravel_index(voxels, self.shape)


def as_marks(classes: npt.NDArray[np.uint8]) -> Bytes:
    """Classes as they stand in the corrections: background is a mark of its own there."""
    return np.where(classes == 0, np.uint8(BACKGROUND_MARK), classes).astype(np.uint8)


def load_review(project: Project, name: str) -> Review:
    """Read a volume, its prediction and its corrections.

    Touches no layer and no widget, so it can run in a thread.

    Raises
    ------
    MetaSSLError
        If a file is missing or broken, or the prediction is of another grid.
    """
    images = tuple(project.load_image(name))
    prediction = project.prediction(name)
    if prediction is not None and prediction.shape != images[0].shape:
        raise ProjectProblem(
            f"The prediction of '{name}' has shape {prediction.shape} but the volume has "
            f"{images[0].shape}. Delete '{project.prediction_folder(name)}' and predict again."
        )
    labels = project.load_labels(name)
    return Review(
        name=name,
        images=images,
        labels=labels,
        corrections=project.corrections(name),
        class_names=project.class_names,
        class_colors=project.class_colors,
        prediction=prediction,
        quadripartition=None if prediction is None else Quadripartition(prediction),
        sites=None if prediction is None else SiteIndex.from_prediction(prediction),
        label_errors=()
        if prediction is None or labels is None
        else tuple(find_label_errors(prediction, labels.data)),
    )
