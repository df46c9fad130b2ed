"""Places where both networks contradict a manual label, and are sure of it: possible label errors.

A voxel counts where both networks give the same label, both are confident of it at the pair's
adaptive thresholds, and the manual label is another. Voxels are taken together where they touch
and the contradiction is the same, so that every place is one question. The larger a place, the
higher it stands: single voxels along a border say little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt

from napari_metassl.data.prediction import (
    AGREEMENT,
    CODE_CLASS,
    CODE_CONFIDENCE,
    Network,
    PredictionPair,
)
from napari_metassl.data.table_view import Table
from napari_metassl.errors import ProjectProblem

MINIMUM_MM3 = 100.0
"""Smaller places are the networks' or the person's taste about a border."""
MOST_LISTED = 50

Indices = npt.NDArray[np.int64]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class LabelError:
    """One connected place where both networks contradict the manual label in the same way.

    Attributes
    ----------
    id
        0, 1, ... from the largest place to the smallest.
    center
        (z, y, x) of a voxel of the place, in the slice that holds most of it.
    box
        Smallest box around it.
    voxels : (N,) int64
        Flat indices, ascending.
    ml
        Volume in mL.
    labeled, predicted
        Class of the manual label, and the one both networks give.
    mean_confidence
        Of both networks together.
    """

    id: int
    center: tuple[int, int, int]
    box: Box
    voxels: Indices
    ml: float
    labeled: int
    predicted: int
    mean_confidence: float


def find_label_errors(
    prediction: PredictionPair,
    labels: npt.NDArray[Any],
    *,
    minimum_mm3: float = MINIMUM_MM3,
    limit: int = MOST_LISTED,
) -> list[LabelError]:
    """Find the possible errors of a manual label, largest first.

    Parameters
    ----------
    labels : (Z, Y, X) integer
        The manual label, of the prediction's shape.

    Raises
    ------
    ProjectProblem
        If the shapes differ.
    """
    check_same_shape(prediction, labels)
    kinds = contradictions(prediction, labels)
    found = cc3d.connected_components(kinds, connectivity=26)
    flat = np.flatnonzero(kinds)
    component = found.reshape(-1)[flat].astype(np.int64) - 1
    sizes = np.bincount(component)
    order = np.argsort(-sizes, kind="stable")
    voxel_mm3 = float(np.prod(prediction.geometry.spacing))
    listed = [k for k in order[:limit] if sizes[k] * voxel_mm3 >= minimum_mm3]
    return [_place(n, prediction, labels, flat[component == k]) for n, k in enumerate(listed)]


def check_same_shape(prediction: PredictionPair, labels: npt.NDArray[Any]) -> None:
    """Refuse a manual label of another shape than the prediction."""
    if prediction.shape != labels.shape:
        raise ProjectProblem(
            f"The manual label has shape {labels.shape} but the prediction {prediction.shape}. "
            "Put the label on the image's grid and predict again."
        )


def contradictions(prediction: PredictionPair, labels: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Give each kind of contradiction (label, prediction) a number, 0 elsewhere, (Z, Y, X)."""
    sure = [_confident_codes(prediction, network) for network in Network]
    kinds = np.zeros(prediction.shape, np.uint16)
    for z, manual in enumerate(labels):  # slice by slice: less memory
        first, second = prediction.codes[:, z]
        said = np.take(CODE_CLASS, first)
        against = (first >= AGREEMENT) & (said != manual)
        against[against] = sure[0][first[against]] & sure[1][second[against]]
        by = np.minimum(manual[against], 255).astype(np.uint16)
        kinds[z][against] = (by << 8 | said[against]) + np.uint16(1)
    return kinds


def _confident_codes(prediction: PredictionPair, network: Network) -> Table:
    """Which codes of a network are confident at its adaptive thresholds, (65536,) bool."""
    learned = prediction.adaptive_thresholds()[network]
    thresholds = np.full(1 << 7, np.inf)  # classes that do not occur are never confident
    thresholds[: len(learned)] = learned
    return thresholds[CODE_CLASS] < CODE_CONFIDENCE


def _place(
    number: int, prediction: PredictionPair, labels: npt.NDArray[Any], voxels: Indices
) -> LabelError:
    places = np.stack(np.unravel_index(voxels, prediction.shape))
    z, y, x = (slice(int(axis.min()), int(axis.max()) + 1) for axis in places)
    codes = prediction.codes.reshape(2, -1)[:, voxels]
    return LabelError(
        id=number,
        center=_center(places, prediction.geometry.spacing),
        box=(z, y, x),
        voxels=voxels,
        ml=len(voxels) * prediction.geometry.voxel_volume_ml,
        labeled=int(labels.reshape(-1)[voxels[0]]),
        predicted=int(CODE_CLASS[codes[0, 0]]),
        mean_confidence=float(CODE_CONFIDENCE[codes].mean(dtype=np.float64)),
    )


def _center(places: Indices, spacing: Sequence[float]) -> tuple[int, int, int]:
    """Of the slice with most voxels, the voxel nearest to their mean."""
    slice_ = int(np.bincount(places[0]).argmax())
    within = places[1:, places[0] == slice_]
    offset = (within - within.mean(axis=1, keepdims=True)) * np.asarray(spacing[1:])[:, None]
    y, x = within[:, np.square(offset).sum(axis=0).argmin()]
    return slice_, int(y), int(x)
