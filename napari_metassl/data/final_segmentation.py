"""The best segmentation of a volume there is: what lay below, and what people made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_metassl.data.corrections import BACKGROUND_MARK, Corrections, Provenance
from napari_metassl.data.edit_journal import EditRecord
from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard
from napari_metassl.data.project import Project
from napari_metassl.errors import ProjectProblem

Labels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class FinalSegmentation:
    """Manual labels or the pair's merged prediction, with the corrections over them.

    Attributes
    ----------
    before : (Z, Y, X)
        What lay below the corrections; 0 everywhere where there was nothing.
    labels : (Z, Y, X)
        With the corrections.
    provenance : (Z, Y, X) uint8
        `Provenance` of every voxel.
    source
        What the voxels nobody touched count as; None where there is neither label nor prediction.
    prediction
        Card of the stored prediction, whether it is the source or not.
    edits
        Everything people did, oldest first, what was taken back included.
    """

    before: Labels
    labels: Labels
    provenance: npt.NDArray[np.uint8]
    geometry: Geometry
    source: Provenance | None
    prediction: PredictionCard | None
    edits: tuple[EditRecord, ...]


def final_segmentation(project: Project, name: str) -> FinalSegmentation:
    """Join what there is of a volume; the edit journal is only read.

    Raises
    ------
    ProjectProblem
        If there is neither a label, nor a prediction, nor a correction.
    """
    corrections = None
    if Corrections.exist(project.corrections_folder, name):
        corrections = project.corrections(name, writable=False)
    below = _below(project, name)
    if below is None and (corrections is None or not corrections.touched.any()):
        raise ProjectProblem(
            f"Volume '{name}' has no label, prediction or correction to export. Predict it first."
        )
    if below is None:
        assert corrections is not None
        before: Labels = np.zeros_like(corrections.labels)
        source = None
    else:
        before, source = below
    provenance = np.full(before.shape, Provenance.PREDICTED if source is None else source, np.uint8)
    labels = before
    if corrections is not None:
        labels = _corrected(before, corrections)
        touched = corrections.touched
        provenance[touched] = corrections.provenance[touched]
    stored = project.prediction_card(name)
    edits = () if corrections is None else corrections.history
    return FinalSegmentation(
        before, labels, provenance, project.geometry(name), source, stored, edits
    )


def _corrected(before: Labels, corrections: Corrections) -> Labels:
    if before.shape != corrections.labels.shape:
        raise ProjectProblem(
            f"Labels have shape {before.shape} but the corrections of '{corrections.name}' have "
            f"{corrections.labels.shape}. Resample the labels first."
        )
    said = np.where(corrections.labels == BACKGROUND_MARK, 0, corrections.labels)
    return np.where(corrections.touched, said, before)


def _below(project: Project, name: str) -> tuple[Labels, Provenance] | None:
    """Find what lies under the corrections, and what its voxels count as."""
    manual = project.load_labels(name)
    if manual is not None:
        return manual.data, Provenance.MANUAL
    prediction = project.prediction(name)
    return None if prediction is None else (prediction.merged(), Provenance.PREDICTED)
