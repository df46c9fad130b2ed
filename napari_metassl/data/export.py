"""What is handed on: a segmentation of a volume, and where each of its voxels comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_metassl.data.corrections import BACKGROUND_MARK, Corrections, Provenance
from napari_metassl.data.geometry import Geometry
from napari_metassl.data.project import Project
from napari_metassl.data.volume_io import write_labels
from napari_metassl.errors import ProjectProblem

SUFFIX = ".nii.gz"


def export_volume(
    project: Project, name: str, folder: Path | None = None, suffix: str = SUFFIX
) -> tuple[Path, Path]:
    """Write the best segmentation of a volume there is, and its provenance.

    Manual labels where the volume has them, otherwise the pair's merged prediction; corrections
    over either.

    Parameters
    ----------
    folder
        The project's ``exports/`` if not given.
    suffix
        ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.

    Returns
    -------
    tuple of Path
        ``NAME.nii.gz`` with labels and ``NAME_provenance.nii.gz`` with `Provenance` values.

    Raises
    ------
    ProjectProblem
        If there is neither a label, nor a prediction, nor a correction.
    """
    folder = project.exports_folder if folder is None else Path(folder)
    labels, provenance, geometry = final_segmentation(project, name)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}{suffix}", folder / f"{name}_provenance{suffix}"
    for path, data in zip(paths, (labels, provenance), strict=True):
        write_labels(path, data, geometry)
    return paths


def final_segmentation(
    project: Project, name: str
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8], Geometry]:
    """Labels and `Provenance` of every voxel, both (Z, Y, X), and the volume's geometry."""
    corrections = None
    if Corrections.exist(project.corrections_folder, name):
        corrections = project.corrections(name, writable=False)
    base = _base(project, name)
    if base is None and (corrections is None or not corrections.touched.any()):
        raise ProjectProblem(
            f"Volume '{name}' has no label, prediction or correction to export. Predict it first."
        )
    geometry = project.geometry(name)
    if base is None:
        assert corrections is not None
        base = np.zeros_like(corrections.labels), Provenance.PREDICTED
    labels, source = base
    provenance = np.full(labels.shape, source, np.uint8)
    if corrections is not None:
        touched = corrections.touched
        said = np.where(corrections.labels == BACKGROUND_MARK, 0, corrections.labels)
        labels = np.where(touched, said, labels)
        provenance[touched] = corrections.provenance[touched]
    return labels, provenance, geometry


def _base(project: Project, name: str) -> tuple[npt.NDArray[Any], Provenance] | None:
    """Find what lies under the corrections, and what its voxels count as."""
    manual = project.load_labels(name)
    if manual is not None:
        return manual.data, Provenance.MANUAL
    prediction = project.prediction(name)
    return None if prediction is None else (prediction.merged(), Provenance.PREDICTED)
