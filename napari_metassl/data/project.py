"""A project: a folder of plain files, and the one place that knows where each of them is.

::

    project.json             names, classes, volumes and their roles, the current pair
    predictions/NAME/        labels and confidences of both networks (NIfTI) and their card
    corrections/NAME.jsonl   what people did to the volume: the edit journal
    pairs/PAIR/              model pairs (card.json and two safetensors files)
    jobs/                    background jobs
    exports/                 what is handed on
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_metassl.data.corrections import (
    Corrections,
    combine_labels,
    holds_edits,
    journal_path,
)
from napari_metassl.data.edit_journal import lock_path
from napari_metassl.data.file_lock import was_killed
from napari_metassl.data.geometry import Geometry
from napari_metassl.data.model_card import CARD_FILE as PAIR_CARD_FILE
from napari_metassl.data.model_card import WEIGHT_FILES, ModelCard, list_pairs, read_card
from napari_metassl.data.names import check_name
from napari_metassl.data.prediction import (
    CARD_FILE,
    PredictionCard,
    PredictionPair,
    read_prediction_card,
)
from napari_metassl.data.project_creation import ProjectRequest, gather_project
from napari_metassl.data.project_file import (
    PROJECT_FILE,
    ProjectFile,
    Role,
    VolumeRecord,
    read_project_file,
    resolve_path,
    write_project_file,
)
from napari_metassl.data.volume import Volume
from napari_metassl.data.volume_io import read_geometry, read_labels, read_volume
from napari_metassl.data.weight_files import require_saved_weights
from napari_metassl.errors import PairProblem, ProjectProblem

__all__ = ["Project", "ProjectFile", "VolumeRecord"]


class Project:
    """An open project; made by `open` or `create`.

    Attributes
    ----------
    folder : Path
        Absolute.
    file : ProjectFile
        What ``project.json`` says.
    """

    def __init__(self, folder: Path, file: ProjectFile) -> None:
        self.folder = folder
        self.file = file
        self._corrections: dict[str, Corrections] = {}

    @classmethod
    def open(cls, folder: Path) -> Project:
        """Open the project in `folder` (its ``project.json`` will do as well)."""
        folder = Path(folder).expanduser().resolve()
        if folder.name == PROJECT_FILE:
            folder = folder.parent
        return cls(folder, read_project_file(folder))

    @classmethod
    def create(
        cls,
        folder: Path,
        images: Path,
        *,
        labels: Path | None = None,
        labeled: Sequence[str] | None = None,
        validation: Sequence[str] = (),
        class_names: Sequence[str] | None = None,
        class_colors: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Project:
        """Make a project of a folder of images, and of labels that match by file stem.

        Parameters
        ----------
        labels
            Folder of label files; those of volumes that are neither labeled nor validation are
            not used, nor noted.
        labeled
            Names of the volumes to train on; without it all that have labels and are not
            validation volumes.
        validation
            Names of the volumes that only measure how good a pair is.
        class_names
            Background first; without it "background", "class 1", ... from the labels' values.
        class_colors
            ``#rrggbb`` for every class; without it colours that colour-blind people can tell apart.

        Raises
        ------
        ProjectProblem
            If there is a project already, or names, labels and images do not fit together.
        """
        folder = Path(folder).expanduser().resolve()
        if (folder / PROJECT_FILE).exists():
            raise ProjectProblem(
                f"'{folder}' already holds a project. Open it, or choose another folder."
            )
        if folder.exists() and not folder.is_dir():
            raise ProjectProblem(
                f"'{folder}' is a file, expected a new or empty folder. Choose another name."
            )
        request = ProjectRequest(
            images, labels, labeled, validation, class_names, class_colors, name
        )
        project = cls(folder, gather_project(folder, request))
        project.save()
        return project

    def save(self) -> None:
        """Write ``project.json`` aside and rename it."""
        write_project_file(self.file, self.folder)

    def close(self) -> None:
        """Give the edit journals free for other windows."""
        for corrections in self._corrections.values():
            corrections.close()
        self._corrections.clear()

    @property
    def name(self) -> str:
        """Name of the project."""
        return self.file.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, background first."""
        return self.file.class_names

    @property
    def class_colors(self) -> tuple[str, ...]:
        """``#rrggbb`` of every class."""
        return self.file.class_colors

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return len(self.file.class_names)

    @property
    def predictions_folder(self) -> Path:
        """Holds one folder for every predicted volume."""
        return self.folder / "predictions"

    @property
    def corrections_folder(self) -> Path:
        """Holds the edit journals."""
        return self.folder / "corrections"

    @property
    def pairs_folder(self) -> Path:
        """Holds the model pairs."""
        return self.folder / "pairs"

    @property
    def jobs_folder(self) -> Path:
        """Holds the background jobs."""
        return self.folder / "jobs"

    @property
    def exports_folder(self) -> Path:
        """Where exports go unless told otherwise."""
        return self.folder / "exports"

    # -- volumes

    def volumes(self, role: Role | None = None) -> list[VolumeRecord]:
        """All volumes, or those of one role."""
        return [v for v in self.file.volumes if role is None or v.role == role]

    def volume(self, name: str) -> VolumeRecord:
        """Return the volume called `name`."""
        for record in self.file.volumes:
            if record.name == name:
                return record
        raise ProjectProblem(f"Project '{self.name}' has no volume '{name}'. Choose one it has.")

    def image_paths(self, name: str) -> list[Path]:
        """Image files of a volume, one for every channel."""
        return [self._existing(stored, name, "image") for stored in self.volume(name).images]

    def labels_path(self, name: str) -> Path | None:
        """Manual label file of a labeled or validation volume."""
        stored = self.volume(name).labels
        return None if stored is None else self._existing(stored, name, "label file")

    def geometry(self, name: str) -> Geometry:
        """Geometry of a volume, read from the header of its first channel."""
        return read_geometry(self.image_paths(name)[0])

    def load_image(self, name: str) -> list[Volume]:
        """Read the image, one `Volume` for every channel."""
        return [read_volume(path, name=name) for path in self.image_paths(name)]

    def load_labels(self, name: str) -> Volume | None:
        """Read the manual labels, None for an unlabeled volume."""
        path = self.labels_path(name)
        return None if path is None else read_labels(path, name=name)

    # -- what pairs say

    def prediction_folder(self, name: str) -> Path:
        """Where the prediction of a volume is kept."""
        return self.predictions_folder / self.volume(name).name

    def prediction_card(self, name: str) -> PredictionCard | None:
        """Where the saved prediction comes from, without reading it; None without one."""
        folder = self.prediction_folder(name)
        return read_prediction_card(folder) if (folder / CARD_FILE).exists() else None

    def prediction(self, name: str) -> PredictionPair | None:
        """Read the saved prediction of a volume, None without one."""
        folder = self.prediction_folder(name)
        return PredictionPair.load(folder) if (folder / CARD_FILE).exists() else None

    def pairs(self) -> list[tuple[Path, ModelCard]]:
        """Folders and cards of the project's pairs."""
        return list_pairs(self.pairs_folder)

    def pair_path(self, name: str | None = None) -> Path | None:
        """Folder of a pair, or of the current one; None when there is no current pair."""
        name = self.file.current_pair if name is None else name
        return None if name is None else self.pairs_folder / check_name(name, "pair")

    def add_pair(self, folder: Path, name: str | None = None) -> str:
        """Copy a pair into the project; returns the name it has there.

        Raises
        ------
        PairProblem
            If it has other classes, or its weights are not as its card says; nothing is kept.
        """
        card = read_card(folder)
        name = check_name(name or Path(folder).name, "pair")
        target = self.pairs_folder / name
        if target.exists():
            raise PairProblem(
                f"Project '{self.name}' already has a pair '{name}'. Give another name."
            )
        self._check_classes(card, name)
        require_saved_weights(Path(folder), card)
        aside = self.pairs_folder / f".{name}.part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for file in (PAIR_CARD_FILE, *WEIGHT_FILES):
            shutil.copyfile(Path(folder) / file, aside / file)
        aside.rename(target)
        return name

    def set_current_pair(self, name: str | None) -> None:
        """Choose the pair that predicts from now on, and save the project.

        A project without any labels or corrections takes the pair's classes over.
        """
        changes: dict[str, Any] = {"current_pair": name}
        path = None if name is None else self.pair_path(name)
        if path is not None:
            card = read_card(path)
            self._check_classes(card, path.name)
            if not self._is_labeled():
                changes |= {"class_names": card.class_names, "class_colors": card.class_colors}
        self.file = self.file.model_copy(update=changes)
        self.save()

    # -- what people say

    def corrections(self, name: str, *, writable: bool = True) -> Corrections:
        """Replay and open what people did to a volume.

        The writable one is opened once: asking again returns the same.

        Raises
        ------
        ProjectProblem
            If it is open in another window, or was made on a volume of another shape.
        """
        if name in self._corrections and not self._corrections[name].closed:
            return self._corrections[name]
        shape = self._shape(name)
        opened = Corrections.open(self.corrections_folder, name, shape, writable=writable)
        if writable:
            self._corrections[name] = opened
        return opened

    def killed_volumes(self) -> list[str]:
        """Volumes that were open when their window was killed, the latest first."""
        found = []
        for record in self.file.volumes:
            lock = lock_path(journal_path(self.corrections_folder, record.name))
            if was_killed(lock):
                found.append((lock.stat().st_mtime, record.name))
        return [name for _, name in sorted(found, reverse=True)]

    def training_labels(
        self, name: str
    ) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_] | None] | None:
        """Labels to train on, and which voxels a person corrected or confirmed.

        Returns
        -------
        label : (Z, Y, X) int16
            Manual labels of a labeled volume with the corrections over them; -1 where there is
            neither.
        corrected : (Z, Y, X) bool, or None without corrections
        None
            If the volume has neither manual labels nor corrections.

        Raises
        ------
        ProjectProblem
            For a validation volume: it measures, and is never trained on.
        """
        if self.volume(name).role == "validation":
            raise ProjectProblem(
                f"Volume '{name}' is a validation volume, which is never trained on. "
                "Leave it out of the training volumes."
            )
        manual = self.load_labels(name)
        corrections = None
        if Corrections.exist(self.corrections_folder, name):
            corrections = self.corrections(name, writable=False)
            self._check_values(corrections)
        return combine_labels(None if manual is None else manual.data, corrections)

    def _shape(self, name: str) -> tuple[int, int, int]:
        shape = self.geometry(name).shape
        return shape if shape is not None else self.load_image(name)[0].shape

    def _is_labeled(self) -> bool:
        """Whether labels or corrections give the classes a meaning that a pair must share."""
        return any(
            record.labels is not None or holds_edits(self.corrections_folder, record.name)
            for record in self.file.volumes
        )

    def _check_classes(self, card: ModelCard, name: str) -> None:
        if self._is_labeled() and len(card.class_names) != self.classes:
            raise PairProblem(
                f"Pair '{name}' has {len(card.class_names)} classes but project '{self.name}' has "
                f"{self.classes}. Choose a pair trained on these classes."
            )

    def _check_values(self, corrections: Corrections) -> None:
        """Refuse stray values painted by hand: they must not become classes of their own."""
        label = corrections.as_training_labels()
        highest = int(label.max())
        if highest >= self.classes:
            raise ProjectProblem(
                f"The corrections of '{corrections.name}' have {int((label == highest).sum())} "
                f"voxels of value {highest} but the project has classes 0 to {self.classes - 1}. "
                "Erase or repaint them."
            )

    def _existing(self, stored: str, name: str, what: str) -> Path:
        path = resolve_path(stored, self.folder)
        if not path.exists():
            raise ProjectProblem(
                f"The {what} of volume '{name}' is not at '{path}'. Put it back there, or correct "
                f"the path in {PROJECT_FILE}."
            )
        return path
