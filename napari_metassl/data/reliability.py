"""How often a pair is right when it is so sure: counted against manual labels.

For every network, class and level of confidence: how many voxels it gave that class with that
confidence, and how many of them the manual label gives the same class. From these counts follow,
at any threshold and without looking at a voxel again, the share of confident voxels that are
right, the reliability curve, and the expected calibration error

    ECE = sum over bins b of  n_b / n * | right share of b - mean confidence of b |

over 15 bins of equal width in confidence (Guo et al., "On Calibration of Modern Neural Networks",
ICML 2017), here for the voxels that were given one class: background would hide all else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from napari_metassl.data.prediction import (
    CODE_CLASS,
    CODE_LEVEL,
    MAXIMUM_CLASSES,
    Network,
    PredictionPair,
)
from napari_metassl.method.confidence import LEVEL_CONFIDENCE

LEVELS = 256
ECE_BINS = 15
FEWEST = 30
"""A point of the curve stands for at least so many voxels."""

Counts = npt.NDArray[np.int64]

_CONFIDENCE = LEVEL_CONFIDENCE.astype(np.float64)
_BIN = np.clip(np.ceil(_CONFIDENCE * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
_CLASS_AND_LEVEL = CODE_CLASS.astype(np.int64) << 8 | CODE_LEVEL


class ConfidenceCounts(BaseModel, frozen=True):
    """Counts of one volume as they are saved: only those that are not 0.

    Attributes
    ----------
    rows
        (network, class, level, voxels, right ones).
    """

    classes: int = Field(ge=2, le=MAXIMUM_CLASSES)
    rows: tuple[tuple[int, int, int, int, int], ...]

    @classmethod
    def of(cls, prediction: PredictionPair, labels: npt.NDArray[Any]) -> ConfidenceCounts:
        """Count the voxels of a prediction against the manual label, (Z, Y, X)."""
        size = prediction.classes * LEVELS
        counts = np.zeros((2, 2, size), np.int64)  # network, all or right
        for network in Network:
            for codes, manual in zip(prediction.codes[network], labels, strict=True):
                keys = np.take(_CLASS_AND_LEVEL, codes)
                counts[network, 0] += np.bincount(keys.ravel(), minlength=size)
                right = keys[np.take(CODE_CLASS, codes) == manual]
                counts[network, 1] += np.bincount(right, minlength=size)
        found = counts.reshape(2, 2, prediction.classes, LEVELS)
        places = np.argwhere(found[:, 0])
        rows = tuple(
            (n, k, level, int(found[n, 0, k, level]), int(found[n, 1, k, level]))
            for n, k, level in places.tolist()
        )
        return cls(classes=prediction.classes, rows=rows)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Counts over several volumes.

    Attributes
    ----------
    voxels, right : (2, C, 256) int64
        Voxels by network, class that it gave them, and level of confidence; the right ones.
    volumes
        Over how many.
    """

    voxels: Counts
    right: Counts
    volumes: int

    @classmethod
    def over(cls, counted: Iterable[ConfidenceCounts]) -> Reliability | None:
        """Add the counts of volumes up; None without any."""
        counts = list(counted)
        if not counts:
            return None
        classes = max(count.classes for count in counts)
        both = np.zeros((2, 2, classes, LEVELS), np.int64)
        for count in counts:
            rows = np.array(count.rows, np.int64).reshape(-1, 5).T
            np.add.at(both[0], tuple(rows[:3]), rows[3])
            np.add.at(both[1], tuple(rows[:3]), rows[4])
        return cls(both[0], both[1], len(counts))

    def right_share(self, network: int, k: int, threshold: float) -> float:
        """Share of the voxels of class `k` with more confidence that are right; nan without any."""
        first = first_level(threshold)
        return _share(self.right[network, k, first:].sum(), self.voxels[network, k, first:].sum())

    def confident(self, network: int, k: int, threshold: float) -> int:
        """Count the voxels of class `k` with more confidence."""
        return int(self.voxels[network, k, first_level(threshold) :].sum())

    def ece(self, network: int, k: int) -> float:
        """Return the expected calibration error of one class, 0..1; nan without voxels."""
        voxels, right, sure = self._binned(network, k, _BIN)
        return _share(np.abs(right - sure).sum(), voxels.sum())

    def curve(self, network: int, k: int, bins: int = 16) -> npt.NDArray[np.float64]:
        """Reliability curve of one class, (3, N): mean confidence, right share, voxels.

        The bins are even in levels, so that they are fine near 1, where most voxels are.
        """
        voxels, right, sure = self._binned(network, k, np.arange(LEVELS) * bins // LEVELS)
        enough = voxels >= FEWEST
        voxels = voxels[enough]
        return np.stack([sure[enough] / voxels, right[enough] / voxels, voxels])

    def _binned(
        self, network: int, k: int, bin_of_level: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.float64], ...]:
        """Sum over the bins: voxels, right ones, confidence."""
        voxels = self.voxels[network, k].astype(np.float64)
        right = self.right[network, k].astype(np.float64)
        sums = (voxels, right, voxels * _CONFIDENCE)
        return tuple(np.bincount(bin_of_level, weights).astype(np.float64) for weights in sums)


def first_level(threshold: float) -> int:
    """Lowest level of confidence above a threshold; 256 if there is none."""
    return int(np.searchsorted(_CONFIDENCE, threshold, side="right"))


def _share(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else float("nan")
