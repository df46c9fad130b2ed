"""The opened volume: what is shown of it and what can be done at its sites. Without Qt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from napari_metassl.data.corrections import BACKGROUND_MARK, Corrections, Provenance
from napari_metassl.data.label_errors import LabelError, find_label_errors
from napari_metassl.data.prediction import CODE_CONFIDENCE, Network, PredictionPair
from napari_metassl.data.project import Project
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.sites import Site, SiteIndex, site_neighbourhood
from napari_metassl.data.table_view import TableView
from napari_metassl.data.volume import Volume
from napari_metassl.errors import ProjectProblem

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

    def ranked(self) -> list[ListedSite]:
        """All sites, worst first at the thresholds of now, with their status."""
        if self.sites is None or self.quadripartition is None:
            return []
        status = self._statuses(self.sites)
        return [
            ListedSite(entry.site, entry.ds_ml, status[entry.site.id])
            for entry in self.sites.ranked(self.quadripartition)
        ]

    def site(self, number: int | None) -> Site | None:
        """Return the site with this id."""
        if self.sites is None or number is None or not 0 <= number < len(self.sites):
            return None
        return self.sites.site(number)

    def _statuses(self, sites: SiteIndex) -> list[SiteStatus]:
        """Status of every site by its id."""
        if not len(sites):
            return []
        provenance = self.corrections.provenance.reshape(-1)[sites.voxels]
        starts = sites.starts[:-1]
        untouched = np.logical_or.reduceat(provenance == Provenance.PREDICTED, starts)
        corrected = np.logical_or.reduceat(provenance == Provenance.CORRECTED, starts)
        found = []
        for n in range(len(sites)):
            if untouched[n]:
                found.append(SiteStatus.SKIPPED if n in self.skipped else SiteStatus.OPEN)
            else:
                found.append(SiteStatus.CORRECTED if corrected[n] else SiteStatus.CONFIRMED)
        return found

    def take(self, site: Site, network: int, reach_mm: float) -> tuple[Flat, Bytes]:
        """Voxels and values that give a site one network's label; what lies around is confirmed."""
        assert self.prediction is not None
        own = self.prediction.label_view(network)[self._indices(site.voxels)]
        around = self._untouched_around(site, reach_mm)
        voxels = np.concatenate([site.voxels, around])
        return voxels, as_marks(np.concatenate([own, self._merged_at(around)]))

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
