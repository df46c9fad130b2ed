"""What a pair of networks says about a volume: one small code per voxel and network.

A code is a uint16: ``agreement << 15 | class << 8 | level``, where agreement is 1 if both
networks chose the same class, class is that of the network whose code it is (128 at most) and
level is its quantised confidence (see `napari_metassl.method.confidence`).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from napari_metassl.data.table_view import Codes, Table, TableView
from napari_metassl.data.volume_io import read_labels, read_volume, write_labels, write_volume
from napari_metassl.errors import FileProblem
from napari_metassl.method.confidence import LEVEL_CONFIDENCE, confidence_to_level

if TYPE_CHECKING:
    from napari_metassl.data.geometry import Geometry
    from napari_metassl.data.model_card import ModelCard

MAXIMUM_CLASSES = 128
AGREEMENT = np.uint16(1 << 15)
CLASS_SHIFT = 8
CARD_FILE = "prediction.json"

_ALL_CODES = np.arange(1 << 16, dtype=np.uint16)
# What a code says, as tables to look it up in.
CODE_CLASS: Table = (_ALL_CODES >> CLASS_SHIFT & 0x7F).astype(np.uint8)
CODE_LEVEL: Table = (_ALL_CODES & 0xFF).astype(np.uint8)
CODE_CONFIDENCE: Table = LEVEL_CONFIDENCE[CODE_LEVEL]


class Network(IntEnum):
    """The two networks of a pair, in the order in which every array holds them."""

    SUPERVISED = 0
    REFERENCE = 1


class PredictionCard(BaseModel, frozen=True):
    """Where a prediction comes from; saved beside it as ``prediction.json``."""

    format_version: Literal[1] = 1
    pair_name: str
    classes: int = Field(ge=2, le=MAXIMUM_CLASSES)
    thresholds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Adaptive thresholds of the pair, (supervised, reference) x classes."""
    pair_sha256: str = ""
    """Fingerprint of the pair's weights."""
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def of_pair(cls, card: ModelCard) -> PredictionCard:
        """Make the card of a prediction made now by the pair of `card`."""
        return cls(
            pair_name=card.name,
            classes=card.classes,
            thresholds=card.thresholds,
            pair_sha256=card.fingerprint,
        )


@dataclass(frozen=True, eq=False)
class PredictionPair:
    """Labels and confidences of both networks on the volume's own grid.

    Attributes
    ----------
    codes : (2, Z, Y, X) uint16
        Index 0 is the supervised network (A), 1 the reference network (B).
    """

    codes: Codes
    geometry: Geometry
    card: PredictionCard

    @classmethod
    def from_labels_and_confidence(
        cls,
        labels: npt.NDArray[Any],
        confidence: npt.NDArray[Any],
        geometry: Geometry,
        card: PredictionCard,
    ) -> PredictionPair:
        """Make the codes, slice by slice, so that little more memory is needed than they take.

        Parameters
        ----------
        labels : (2, Z, Y, X) integer, below `card.classes`
        confidence : (2, Z, Y, X) float in 0..1, or uint8 levels
        """
        _check_arrays(labels, confidence, card.classes)
        codes = np.empty(labels.shape, np.uint16)
        for z in range(labels.shape[1]):
            agree = np.where(labels[0, z] == labels[1, z], AGREEMENT, np.uint16(0))
            for network in Network:
                levels = _levels(confidence[network, z])
                classes = labels[network, z].astype(np.uint16)
                codes[network, z] = agree | classes << CLASS_SHIFT | levels
        return cls(codes, geometry, card)

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return self.card.classes

    @property
    def pair_name(self) -> str:
        """Name of the pair that made this prediction."""
        return self.card.pair_name

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the volume, (Z, Y, X)."""
        z, y, x = self.codes.shape[1:]
        return z, y, x

    def adaptive_thresholds(self) -> npt.NDArray[np.float64]:
        """Thresholds the pair was trained to, (2, C); 0.9 where it has none."""
        if self.card.thresholds is None:
            return np.full((2, self.classes), 0.9)
        return np.asarray(self.card.thresholds, np.float64)

    def label_view(self, network: int) -> TableView:
        """Label of one network as a view, (Z, Y, X) uint8."""
        return TableView([self.codes[network]], [CODE_CLASS])

    def confidence_view(self, network: int) -> TableView:
        """Confidence of one network as a view, (Z, Y, X) float32."""
        return TableView([self.codes[network]], [CODE_CONFIDENCE])

    def merged_view(self) -> TableView:
        """Return the pair's answer as a view, (Z, Y, X) uint8.

        Where the labels differ it is that of the more confident network, and that of the
        supervised network where both are equally confident.
        """
        return TableView(list(self.codes), [_merge_key(n) for n in Network], CODE_MERGED)

    def label(self, network: int) -> npt.NDArray[np.uint8]:
        """Label of one network, (Z, Y, X) uint8."""
        return np.asarray(self.label_view(network))

    def confidence(self, network: int) -> npt.NDArray[np.float32]:
        """Confidence of one network, (Z, Y, X) float32."""
        return np.asarray(self.confidence_view(network))

    def merged(self) -> npt.NDArray[np.uint8]:
        """Return the pair's answer, (Z, Y, X) uint8; see `merged_view`."""
        return np.asarray(self.merged_view())

    def discrepant(self) -> npt.NDArray[np.bool_]:
        """Where the labels differ, (Z, Y, X) bool."""
        differ: npt.NDArray[np.bool_] = self.codes[0] < AGREEMENT  # agreement is the highest bit
        return differ

    def save(self, folder: Path) -> Path:
        """Write labels, confidences (uint16, slope 1/65535) and the card as plain files.

        Everything is written aside; the folder appears, or is replaced, as a whole.
        """
        aside = folder.with_name(f"{folder.name}.part{os.getpid()}")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for network in Network:
            name = network.name.lower()
            write_labels(aside / f"{name}_label.nii.gz", self.label(network), self.geometry)
            stored = np.asarray(TableView([self.codes[network]], [_STORED[CODE_LEVEL]]))
            path = aside / f"{name}_confidence.nii.gz"
            write_volume(path, stored, self.geometry, slope=1 / 65535)
        (aside / CARD_FILE).write_text(self.card.model_dump_json(indent=2), encoding="utf-8")
        _replace_folder(aside, folder)
        return folder

    @classmethod
    def load(cls, folder: Path) -> PredictionPair:
        """Read what `save` wrote; levels come back exactly.

        Raises
        ------
        FileProblem
            If a file is missing, broken or does not fit the others.
        """
        card = read_prediction_card(folder)
        labels = [read_labels(folder / f"{n.name.lower()}_label.nii.gz") for n in Network]
        shape = labels[0].data.shape
        levels = np.empty((2, *shape), np.uint8)
        for network in Network:
            path = folder / f"{network.name.lower()}_confidence.nii.gz"
            stored = read_volume(path, scaled=False).data
            if stored.dtype != np.uint16 or {stored.shape, labels[network].data.shape} != {shape}:
                raise FileProblem(
                    f"The files of the prediction in '{folder}' do not fit together: another "
                    "program has changed them. Predict again."
                )
            levels[network] = np.asarray(TableView([stored], [_STORED_LEVEL]))
        both = np.stack([volume.data for volume in labels])
        return cls.from_labels_and_confidence(both, levels, labels[0].geometry, card)


def read_prediction_card(folder: Path) -> PredictionCard:
    """Read only where a saved prediction comes from."""
    path = folder / CARD_FILE
    try:
        return PredictionCard.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, ValidationError) as error:
        raise FileProblem(
            f"Got no readable prediction from '{path}' ({type(error).__name__}). Predict again."
        ) from error


def _merge_key(network: Network) -> Table:
    """Table whose maximum over both networks keeps the class of the more confident one."""
    first = np.uint16(network == Network.SUPERVISED)  # wins where both are equally confident
    key = (_ALL_CODES & 0xFF) << 8 | first << 7 | CODE_CLASS
    return key.astype(np.uint16)


CODE_MERGED: Table = (_ALL_CODES & 0x7F).astype(np.uint8)
# Confidence of a level as it is stored; 65535 steps keep all 256 levels apart.
_STORED: Table = np.rint(LEVEL_CONFIDENCE.astype(np.float64) * 65535).astype(np.uint16)

_STORED_LEVEL: Table = confidence_to_level(np.arange(1 << 16) / 65535)


def _levels(confidence: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if confidence.dtype == np.uint8:
        return confidence
    # A network that answers nan is sure of nothing.
    levels: npt.NDArray[np.uint8] = confidence_to_level(np.nan_to_num(confidence, nan=0.0))
    return levels


def _check_arrays(labels: npt.NDArray[Any], confidence: npt.NDArray[Any], classes: int) -> None:
    if labels.shape != confidence.shape or labels.ndim != 4 or len(labels) != 2:
        raise FileProblem(
            f"Got labels of shape {labels.shape} and confidences of shape {confidence.shape}, "
            "expected (2, Z, Y, X) of both. Predict the volume again."
        )
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise FileProblem(
            f"Got labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1} for "
            f"{classes} classes. Predict again with the pair that fits this project."
        )


def _replace_folder(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`, which takes two steps for folders."""
    old = folder.with_name(f"{folder.name}.old{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
