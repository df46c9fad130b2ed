"""Figures of one prediction that say how good it may be; kept beside it as a small file.

``predictions/NAME/figures.json`` names the very prediction, and the very label file, that it was
made of; figures of others are stale and made anew. No voxel is kept in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ValidationError

from napari_metassl.data.label_errors import LabelError, check_same_shape, find_label_errors
from napari_metassl.data.prediction import (
    CODE_CLASS,
    CODE_CONFIDENCE,
    PredictionCard,
    PredictionPair,
)
from napari_metassl.data.project import Project
from napari_metassl.data.reliability import ConfidenceCounts
from napari_metassl.data.volume_io import written_aside
from napari_metassl.errors import FileProblem

FIGURES_FILE = "figures.json"

Matrix = npt.NDArray[np.int64]


class ListedLabelError(BaseModel, frozen=True):
    """A possible label error as it is listed; see `napari_metassl.data.label_errors.LabelError`."""

    id: int
    ml: float
    labeled: int
    predicted: int
    mean_confidence: float

    @classmethod
    def of(cls, found: LabelError) -> ListedLabelError:
        """Leave the voxels out."""
        return cls(
            id=found.id,
            ml=found.ml,
            labeled=found.labeled,
            predicted=found.predicted,
            mean_confidence=found.mean_confidence,
        )


class VolumeFigures(BaseModel, frozen=True):
    """What is known about a prediction, and about the manual label beside it if there is one.

    Attributes
    ----------
    prediction, labels
        Which prediction and label file these figures are of; `labels` is empty without one.
    pair_sha256
        Fingerprint of the pair that predicted.
    discrepant_share
        Discrepant voxels over those that either network gives a structure; None without any.
    agreement
        Dice between both networks, for every class but the background; None where it is in neither.
    expected_dice
        Dice to be expected if both networks were as often right as they are sure; see
        `expected_dice`. It ranks volumes; `napari_metassl.data.quality` makes a Dice of it.
    dice
        Dice of the pair's answer against the manual label, per class; empty without a label.
    confidence
        Right and wrong voxels by confidence; None without a label.
    label_errors
        Places where both networks contradict the label, largest first.
    """

    format_version: Literal[1] = 1
    prediction: str
    labels: str = ""
    pair_sha256: str = ""
    discrepant_share: float | None = None
    agreement: tuple[float | None, ...] = ()
    expected_dice: float | None = None
    dice: tuple[float | None, ...] = ()
    confidence: ConfidenceCounts | None = None
    label_errors: tuple[ListedLabelError, ...] = ()

    @property
    def mean_agreement(self) -> float | None:
        """Mean of `agreement` over the classes that are there."""
        return mean_of(self.agreement)

    @property
    def mean_dice(self) -> float | None:
        """Mean of `dice` over the classes that are there; None without a label."""
        return mean_of(self.dice)


def make_figures(
    prediction: PredictionPair, labels: npt.NDArray[Any] | None = None, labels_identity: str = ""
) -> VolumeFigures:
    """Make the figures of a prediction, one slice after the other.

    Parameters
    ----------
    labels : (Z, Y, X) integer, optional
        The manual label.

    Raises
    ------
    ProjectProblem
        If the label has another shape than the prediction.
    """
    between = _joint_classes(prediction.label_view(0), prediction.label_view(1), prediction.classes)
    either = int(between.sum() - between[0, 0])
    differ = int(between.sum() - np.trace(between))
    figures = VolumeFigures(
        prediction=prediction_identity(prediction.card),
        pair_sha256=prediction.card.pair_sha256,
        discrepant_share=differ / either if either else None,
        agreement=_dice_per_class(between),
        expected_dice=expected_dice(prediction),
    )
    if labels is None:
        return figures
    check_same_shape(prediction, labels)
    truth = _joint_classes(prediction.merged_view(), labels, prediction.classes)
    errors = find_label_errors(prediction, labels)
    against = {
        "labels": labels_identity,
        "dice": _dice_per_class(truth),
        "confidence": ConfidenceCounts.of(prediction, labels),
        "label_errors": tuple(ListedLabelError.of(error) for error in errors),
    }
    return figures.model_copy(update=against)


def expected_dice(prediction: PredictionPair) -> float | None:
    """Dice of all structures together, were both networks as often right as they are sure.

        p = mean confidence of both where they agree, 1/2 where they differ
        Dice = 2 TP / (2 TP + FP + FN)
        TP = sum of p over the structures, FP = sum of 1 - p over the structures
        FN = sum of 1 - p over the background

    Networks are surer than right, so this is too high, but it ranks volumes. None without
    structures.
    """
    merged = prediction.merged_view()
    right = structures = missed = 0.0
    for z, (first, second) in enumerate(zip(*prediction.codes, strict=True)):
        agree = np.take(CODE_CLASS, first) == np.take(CODE_CLASS, second)
        mean = (np.take(CODE_CONFIDENCE, first) + np.take(CODE_CONFIDENCE, second)) / 2
        p = np.where(agree, mean, np.float32(0.5))
        inside = merged[z] > 0
        right += float(p[inside].sum(dtype=np.float64))
        structures += int(inside.sum())
        missed += float((1 - p[~inside]).sum(dtype=np.float64))
    return 2 * right / (structures + right + missed) if structures else None


# -- kept beside the prediction


def prediction_identity(card: PredictionCard) -> str:
    """Name one very prediction: whose, and when it was made."""
    return f"{card.pair_sha256} {card.created.isoformat()}"


def labels_identity(project: Project, name: str) -> str:
    """Name one very label file by size and time; empty for a volume without."""
    path = project.labels_path(name)
    if path is None:
        return ""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def read_figures(project: Project, name: str) -> VolumeFigures | None:
    """Read the figures kept for a volume; None without a prediction, or if they are stale.

    Raises
    ------
    MetaSSLError
        If the card of the prediction is damaged or the label file is gone.
    """
    card = project.prediction_card(name)
    if card is None:
        return None
    try:
        content = (project.prediction_folder(name) / FIGURES_FILE).read_bytes()
        kept = VolumeFigures.model_validate_json(content)
    except (OSError, ValidationError):
        return None
    fresh = (prediction_identity(card), labels_identity(project, name))
    return kept if (kept.prediction, kept.labels) == fresh else None


def keep_figures(
    project: Project, name: str, prediction: PredictionPair | None = None
) -> VolumeFigures | None:
    """Make the figures of a volume anew and keep them; None without a prediction.

    A project that cannot be written to gets them all the same.

    Parameters
    ----------
    prediction
        The one that is saved for the volume, if it is at hand.

    Raises
    ------
    MetaSSLError
        If a file is missing or damaged, or the label does not fit.
    """
    prediction = project.prediction(name) if prediction is None else prediction
    if prediction is None:
        return None
    identity = labels_identity(project, name)
    labels = project.load_labels(name)
    figures = make_figures(prediction, None if labels is None else labels.data, identity)
    path: Path = project.prediction_folder(name) / FIGURES_FILE
    with suppress(FileProblem), written_aside(path) as aside:
        aside.write_text(figures.model_dump_json() + "\n", encoding="utf-8")
    return figures


# -- counting


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _joint_classes(first: Any, second: Any, classes: int) -> Matrix:
    """Count how often two labels of a voxel occur together, (C, C); strange ones are background."""
    counts = np.zeros(classes * classes, np.int64)
    for a, b in zip(first, second, strict=True):
        known = np.where(b < classes, b, 0).astype(np.int64)
        counts += np.bincount((a.astype(np.int64) * classes + known).ravel(), minlength=counts.size)
    return counts.reshape(classes, classes)


def _dice_per_class(joint: Matrix) -> tuple[float | None, ...]:
    """Dice of every class but the background; None where it is in neither."""
    both, sizes = np.diagonal(joint)[1:], (joint.sum(0) + joint.sum(1))[1:]
    pairs = zip(both.tolist(), sizes.tolist(), strict=True)
    return tuple(2 * n / size if size else None for n, size in pairs)
