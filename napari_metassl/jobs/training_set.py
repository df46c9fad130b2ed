"""From a project to what the trainer takes: every volume on the pair's grid, with its labels."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.preprocessing import labels_to_network_grid, to_network_grid
from napari_metassl.data.project import Project
from napari_metassl.data.project_file import VolumeRecord
from napari_metassl.errors import JobProblem
from napari_metassl.method.training_volume import TrainingVolume

MEMORY_SHARE = 0.4
"""Part of the free memory that the images may fill; more of them wait on the disk."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Volumes to train on, and volumes that measure.

    Attributes
    ----------
    volumes : list of TrainingVolume
        Labeled, corrected and unlabeled ones.
    validation : list of TrainingVolume
        Fully labeled, never trained on.
    corrected_voxels : int
        How many voxels people confirmed or changed, on the volumes' own grids.
    """

    volumes: list[TrainingVolume] = field(default_factory=list)
    validation: list[TrainingVolume] = field(default_factory=list)
    corrected_voxels: int = 0

    def summary(self) -> dict[str, Any]:
        """Count the volumes of each kind, as they are noted on the new pair's card."""
        return {
            "labeled": [v.name for v in self.volumes if v.is_fully_labeled],
            "corrected": [v.name for v in self.volumes if v.corrected is not None],
            "corrected_voxels": self.corrected_voxels,
            "unlabeled": sum(not v.has_labels for v in self.volumes),
            "validation": [v.name for v in self.validation],
        }


def median_spacing(project: Project) -> tuple[float, float, float]:
    """Median voxel size (dz, dy, dx) in mm over all volumes of the project, axis by axis."""
    spacings = [project.geometry(record.name).spacing for record in project.volumes()]
    z, y, x = (float(size) for size in np.median(np.asarray(spacings), axis=0))
    return z, y, x


def gather_training_set(
    project: Project, card: ModelCard, cache: Path, look: Callable[[str, float], None]
) -> TrainingSet:
    """Read all volumes of a project for training; the edit journals are only read.

    Parameters
    ----------
    cache : Path
        Folder for images that would fill the memory; made when needed.
    look : callable
        Called before each volume with its name and the finished share; may raise to stop.

    Raises
    ------
    JobProblem
        When nothing is labeled at all.
    """
    shutil.rmtree(cache, ignore_errors=True)
    keep = _Keeper(cache)
    volumes: list[TrainingVolume] = []
    validation: list[TrainingVolume] = []
    corrected = 0
    for record in _announced(project.volumes(), look):
        volume, count = _training_volume(project, record, card, keep)
        (validation if record.role == "validation" else volumes).append(volume)
        corrected += count
    if not any(volume.has_labels for volume in volumes):
        raise JobProblem(
            f"Project '{project.name}' has no labeled volume and no corrections, and a training "
            "needs some labels; correct a volume, or make the project with --labeled."
        )
    return TrainingSet(volumes, validation, corrected)


def _announced(
    records: list[VolumeRecord], look: Callable[[str, float], None]
) -> Iterator[VolumeRecord]:
    for number, record in enumerate(records):
        look(record.name, number / len(records))
        yield record


def _training_volume(
    project: Project, record: VolumeRecord, card: ModelCard, keep: "_Keeper"
) -> tuple[TrainingVolume, int]:
    image = project.load_image(record.name)
    label, corrected = _labels(project, record)
    geometry = image[0].geometry
    volume = TrainingVolume(
        name=record.name,
        image=keep(record.name, to_network_grid(image, card)),
        label=_on_grid(label, geometry, card),
        corrected=_on_grid(corrected, geometry, card),
    )
    return volume, 0 if corrected is None else int(corrected.sum())


def _labels(project: Project, record: VolumeRecord) -> tuple[Any, Any]:
    """Labels (Z, Y, X) int16 or None, and the corrected voxels (Z, Y, X) bool or None."""
    if record.role == "validation":
        manual = project.load_labels(record.name)
        return (None if manual is None else manual.data.astype(np.int16)), None
    return project.training_labels(record.name) or (None, None)


def _on_grid(array: Any, geometry: Geometry, card: ModelCard) -> Any:
    return None if array is None else labels_to_network_grid(array, geometry, card)


class _Keeper:
    """Keeps images in memory while there is room, and on the disk from then on."""

    def __init__(self, cache: Path):
        self.cache = cache
        self._room = int(psutil.virtual_memory().available * MEMORY_SHARE)

    def __call__(self, name: str, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            return image
        self.cache.mkdir(parents=True, exist_ok=True)
        path = self.cache / f"{name}.npy"
        np.save(path, image)
        mapped: np.ndarray[Any, Any] = np.load(path, mmap_mode="r")
        return mapped
