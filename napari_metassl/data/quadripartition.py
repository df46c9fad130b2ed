"""The four regions of a prediction, at thresholds that may move at any time.

Confident is a voxel whose reference confidence is above the threshold of the reference's own
class (strictly); unanimous is one on whose label both networks agree:

    UC  unanimous and confident      DC  discrepant and confident
    US  unanimous and suspicious     DS  discrepant and suspicious

No voxel is touched when a threshold moves: the regions are a view through a table of 65536
entries, and their shares come from histograms made once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_metassl.data.prediction import (
    AGREEMENT,
    CODE_CLASS,
    CODE_LEVEL,
    Network,
    PredictionPair,
)
from napari_metassl.data.table_view import Codes, Table, TableView
from napari_metassl.errors import ProjectProblem
from napari_metassl.method.confidence import LEVEL_CONFIDENCE
from napari_metassl.method.region import Region

LEVELS = 256


# Okabe and Ito's palette: cold where the networks agree, warm where they do not.
REGION_COLORS: Mapping[Region, str] = {
    Region.UC: "#56b4e9",
    Region.US: "#0072b2",
    Region.DC: "#f0e442",
    Region.DS: "#d55e00",
}


class Reference(StrEnum):
    """Whose confidence decides: one network's, or both must be confident."""

    SUPERVISED = "supervised"
    REFERENCE = "reference"
    BOTH = "both"

    @property
    def networks(self) -> tuple[Network, ...]:
        """The networks that must be confident."""
        if self is Reference.BOTH:
            return (Network.SUPERVISED, Network.REFERENCE)
        return (Network[self.name],)


class Quadripartition:
    """Regions and shares of one prediction.

    Starts at the adaptive thresholds of the pair (0.9 where it has none), reference network.

    Attributes
    ----------
    regions : TableView
        (Z, Y, X) uint8 of `Region` values; the same object for as long as this one lives, so a
        layer that shows it only has to refresh after `set_thresholds`.
    thresholds : (2, C) float64
        Of the supervised and of the reference network.
    """

    def __init__(self, prediction: PredictionPair) -> None:
        self.prediction = prediction
        self._unanimous = _cumulated_unanimous(prediction)
        self._pairs, self._pair_counts = _discrepant_pairs(prediction.codes)
        self.regions = TableView(list(prediction.codes), [_ALL_SUSPICIOUS, _ALL_SUSPICIOUS])
        self.set_thresholds(self.adaptive_thresholds(), Reference.REFERENCE)

    def adaptive_thresholds(self) -> npt.NDArray[np.float64]:
        """Thresholds the pair was trained to, (2, C); 0.9 where it has none."""
        return self.prediction.adaptive_thresholds()

    def set_thresholds(
        self,
        thresholds: Sequence[float] | Sequence[Sequence[float]] | npt.NDArray[Any],
        reference: Reference | None = None,
    ) -> None:
        """Move the thresholds and, if given, change the reference; costs no look at a voxel.

        Parameters
        ----------
        thresholds : (C,) or (2, C)
            One per class for both networks, or per (supervised, reference) network and class.
        """
        self.thresholds = self._checked(thresholds)
        self.reference = self.reference if reference is None else Reference(reference)
        # Levels below the cut are suspicious: their confidence is not above the threshold.
        decoded = LEVEL_CONFIDENCE.astype(np.float64)
        self._cuts = np.searchsorted(decoded, self.thresholds, side="right")
        self._tables = [_region_table(self._cuts[network]) for network in Network]
        used = self.reference.networks
        self.regions.set_tables([self._tables[n] if n in used else None for n in Network])

    def region_of(self, codes: Codes) -> npt.NDArray[np.uint8]:
        """Regions of some voxels from their codes, (2, N) -> (N,)."""
        # US = UC + 1 and DS = DC + 1: suspicious for either network is the larger value.
        found = [np.take(self._tables[n], codes[n]) for n in self.reference.networks]
        result: npt.NDArray[np.uint8] = np.maximum.reduce(found)
        return result

    def shares(self) -> dict[Region, int]:
        """Voxels of every region, exactly."""
        confident, unanimous = self._unanimous_counts()
        region = self.region_of(self._pairs)
        discrepant = int(self._pair_counts.sum())
        suspicious = int(self._pair_counts[region == Region.DS].sum())
        return {
            Region.UC: confident,
            Region.US: unanimous - confident,
            Region.DC: discrepant - suspicious,
            Region.DS: suspicious,
        }

    def shares_percent(self) -> dict[Region, float]:
        """Share of every region in the volume, in percent."""
        voxels = self.regions.size
        return {region: 100 * count / voxels for region, count in self.shares().items()}

    def shares_ml(self, voxel_volume_ml: float | None = None) -> dict[Region, float]:
        """Volume of every region, in mL."""
        if voxel_volume_ml is None:
            voxel_volume_ml = self.prediction.geometry.voxel_volume_ml
        return {region: count * voxel_volume_ml for region, count in self.shares().items()}

    def confidence_histogram(self, network: Network) -> npt.NDArray[np.int64]:
        """Voxels that a network gives class k with confidence of level l, (C, 256).

        They come from the counts made once, so no voxel is looked at.
        """
        supervised = network == Network.SUPERVISED
        whatever_the_other = self._unanimous[:, :, -1] if supervised else self._unanimous[:, -1]
        counts = np.diff(whatever_the_other, axis=1)
        codes = self._pairs[network]
        np.add.at(counts, (CODE_CLASS[codes], CODE_LEVEL[codes]), self._pair_counts)
        return counts

    def label_view(self, which: int | Literal["merged"]) -> TableView:
        """Label of one network, or the pair's merged answer, as a view, (Z, Y, X) uint8."""
        if which == "merged":
            return self.prediction.merged_view()
        return self.prediction.label_view(which)

    def confidence_view(self, network: int) -> TableView:
        """Confidence of one network as a view, (Z, Y, X) float32."""
        return self.prediction.confidence_view(network)

    def _unanimous_counts(self) -> tuple[int, int]:
        """Unanimous voxels that are confident, and all of them."""
        confident = total = 0
        for k, cumulated in enumerate(self._unanimous):
            cuts = [self._cuts[n, k] if n in self.reference.networks else 0 for n in Network]
            a, b = cuts
            total += cumulated[-1, -1]
            confident += cumulated[-1, -1] - cumulated[a, -1] - cumulated[-1, b] + cumulated[a, b]
        return int(confident), int(total)

    def _checked(self, thresholds: Any) -> npt.NDArray[np.float64]:
        asked = np.asarray(thresholds, np.float64)
        expected = (2, self.prediction.classes)
        if asked.shape not in (expected, expected[1:]) or np.isnan(asked).any():
            raise ProjectProblem(
                f"Got thresholds of shape {asked.shape}, expected {expected[1]} numbers, or 2 x "
                f"{expected[1]} for both networks. Give one threshold for every class."
            )
        return np.broadcast_to(asked, expected).copy()

    reference: Reference = Reference.REFERENCE


_ALL_SUSPICIOUS = np.zeros(1 << 16, np.uint8)


def _region_table(cuts: npt.NDArray[np.intp]) -> Table:
    """Region of every code of one network; `cuts` (C,) are the first confident levels."""
    per_class = np.full(LEVELS // 2, LEVELS)  # classes that do not occur count as suspicious
    per_class[: len(cuts)] = cuts
    suspicious = np.arange(LEVELS) < per_class[:, None]
    regions = np.array([Region.DC, Region.UC], np.uint8)[:, None, None] + suspicious
    return regions.astype(np.uint8).reshape(-1)


def _cumulated_unanimous(prediction: PredictionPair) -> npt.NDArray[np.int64]:
    """Unanimous voxels of class k with levels below (i, j) of the two networks, (C, 257, 257)."""
    counts = np.zeros((prediction.classes, LEVELS, LEVELS), np.int64)
    flat = counts.reshape(-1)
    for first, second in zip(*prediction.codes, strict=True):
        agree = first >= AGREEMENT
        both = np.take(_CLASS_AND_LEVEL, first[agree]) + np.take(_LEVEL, second[agree])
        flat += np.bincount(both, minlength=flat.size)
    cumulated = np.zeros((prediction.classes, LEVELS + 1, LEVELS + 1), np.int64)
    cumulated[:, 1:, 1:] = counts.cumsum(1).cumsum(2)
    return cumulated


_CLASS_AND_LEVEL = CODE_CLASS.astype(np.int64) << 16 | CODE_LEVEL.astype(np.int64) << 8
_LEVEL = CODE_LEVEL.astype(np.int64)


def _discrepant_pairs(codes: Codes) -> tuple[Codes, npt.NDArray[np.int64]]:
    """Different pairs of codes among the discrepant voxels, (2, N), and how often each occurs."""
    found = [np.zeros(0, np.uint32)]
    for first, second in zip(*codes, strict=True):
        differ = first < AGREEMENT
        found.append(first[differ].astype(np.uint32) << 16 | second[differ])
    pairs, counts = np.unique(np.concatenate(found), return_counts=True)
    return np.stack([pairs >> 16, pairs & 0xFFFF]).astype(np.uint16), counts.astype(np.int64)
