"""How far the review of a volume is: sites done, label errors settled; kept as a small file.

``predictions/NAME/progress.json`` names the prediction and the state of the edit journal that it
was made of; a later edit, or another prediction, makes it stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
from pydantic import BaseModel, ValidationError

from napari_metassl.data.corrections import Corrections, Provenance, holds_edits, journal_path
from napari_metassl.data.label_errors import LabelError, find_label_errors
from napari_metassl.data.project import Project
from napari_metassl.data.sites import SiteIndex
from napari_metassl.data.volume_figures import prediction_identity
from napari_metassl.data.volume_io import written_aside
from napari_metassl.errors import FileProblem, MetaSSLError

PROGRESS_FILE = "progress.json"


class ReviewProgress(BaseModel, frozen=True):
    """What a person did to a volume, in numbers.

    Attributes
    ----------
    prediction, journal
        Which prediction and which state of the journal these are of.
    sites, done
        Sites, and those whose every voxel was seen.
    voxels
        Confirmed and corrected ones.
    settled
        Ids of the possible label errors whose every voxel was seen.
    """

    prediction: str = ""
    journal: str = ""
    sites: int = 0
    done: int = 0
    voxels: int = 0
    settled: tuple[int, ...] = ()

    @property
    def is_reviewed(self) -> bool:
        """Whether nothing is left to look at."""
        return 0 < self.sites == self.done


def last_edited(project: Project, name: str) -> datetime | None:
    """When a person last changed the volume; None if nobody has."""
    folder = project.corrections_folder
    if not holds_edits(folder, name):
        return None
    return datetime.fromtimestamp(journal_path(folder, name).stat().st_mtime, UTC)


def read_progress(project: Project, name: str) -> ReviewProgress | None:
    """Read the progress kept for an edited volume; None if there is none or it is stale."""
    try:
        content = (project.prediction_folder(name) / PROGRESS_FILE).read_bytes()
        kept = ReviewProgress.model_validate_json(content)
    except (OSError, ValidationError):
        return None
    fresh = (_prediction_of(project, name), _journal_of(project, name))
    return kept if (kept.prediction, kept.journal) == fresh else None


def keep_progress(
    project: Project, name: str, counted: ReviewProgress | None = None
) -> ReviewProgress:
    """Keep how far the review of a volume is, and return it.

    Parameters
    ----------
    counted
        What was counted of a volume that is open; without it prediction and edits are read, apart
        from a window that may have them open.

    Raises
    ------
    MetaSSLError
        If a file is missing or damaged.
    """
    of = {"prediction": _prediction_of(project, name), "journal": _journal_of(project, name)}
    kept = (counted or _counted_from_files(project, name)).model_copy(update=of)
    if kept.prediction:
        path = project.prediction_folder(name) / PROGRESS_FILE
        with suppress(FileProblem), written_aside(path) as aside:
            aside.write_text(kept.model_dump_json() + "\n", encoding="utf-8")
    return kept


def _counted_from_files(project: Project, name: str) -> ReviewProgress:
    apart = Project(project.folder, project.file)
    corrections = apart.corrections(name, writable=False)
    prediction = project.prediction(name)
    if prediction is None:
        return count_progress(corrections, None, [])
    labels = project.load_labels(name)
    errors = [] if labels is None else find_label_errors(prediction, labels.data)
    return count_progress(corrections, SiteIndex.from_prediction(prediction), errors)


def count_progress(
    corrections: Corrections,
    sites: SiteIndex | None,
    label_errors: Sequence[LabelError],
) -> ReviewProgress:
    """Count what was seen of sites and of the voxels of possible label errors."""
    seen = corrections.provenance.reshape(-1) != Provenance.PREDICTED
    total = done = 0
    if sites is not None and len(sites):
        total, starts = len(sites), sites.starts
        voxels = sites.voxels[: starts[total]]
        done = int(np.logical_and.reduceat(seen[voxels], starts[:total]).sum())
    settled = tuple(error.id for error in label_errors if seen[error.voxels].all())
    return ReviewProgress(sites=total, done=done, voxels=int(seen.sum()), settled=settled)


def _prediction_of(project: Project, name: str) -> str:
    with suppress(MetaSSLError):
        card = project.prediction_card(name)
        return "" if card is None else prediction_identity(card)
    return ""


def _journal_of(project: Project, name: str) -> str:
    try:
        found = journal_path(project.corrections_folder, name).stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"
