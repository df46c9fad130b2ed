"""Dice of a pair's merged answer on the validation volumes, while training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import nn

from napari_metassl.method.inference import predict_pair
from napari_metassl.method.training_volume import NO_LABEL, TrainingVolume


def validate(
    networks: Sequence[nn.Module],
    volumes: Sequence[TrainingVolume],
    classes: int,
    *,
    patch_size: Sequence[int],
    device: str,
) -> dict[str, float]:
    """Mean Dice over the volumes, per foreground class number (as text) and ``mean``.

    A class that a volume neither shows nor is given there does not count in it; a class that no
    volume has is left out.
    """
    scores = [
        dice_per_class(merged_answer(networks, volume, patch_size, device), volume, classes)
        for volume in volumes
    ]
    table = np.array(scores)
    known = ~np.isnan(table)
    means = {
        str(k + 1): float(table[known[:, k], k].mean())
        for k in range(classes - 1)
        if known[:, k].any()
    }
    return means | {"mean": float(np.mean(list(means.values()))) if means else float("nan")}


def merged_answer(
    networks: Sequence[nn.Module],
    volume: TrainingVolume,
    patch_size: Sequence[int],
    device: str,
) -> npt.NDArray[np.uint8]:
    """Label of the more confident network in every voxel, (Z, Y, X).

    The plain answer: no dropout, no changed image, whatever the strategy shows for review.
    """
    image = volume.image.astype(np.float32, copy=False)
    labels, levels = predict_pair(
        networks, image, patch_size=patch_size, overlap=0.25, device=device
    )
    return more_confident(labels, levels)


def more_confident(
    labels: npt.NDArray[np.uint8], levels: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Label of the more confident network, (Z, Y, X), of what `predict_pair` answers."""
    first, last = labels[0], labels[-1]  # one and the same where there is one network
    merged: npt.NDArray[np.uint8] = np.where(levels[-1] > levels[0], last, first)
    return merged


def dice_per_class(
    answer: npt.NDArray[np.uint8], volume: TrainingVolume, classes: int
) -> list[float]:
    """Dice 2 |A & B| / (|A| + |B|) of classes 1..C-1 over the labeled voxels.

    NaN where neither ``answer`` (Z, Y, X) nor the labels of ``volume`` have the class.
    """
    assert volume.label is not None
    labeled = volume.label != NO_LABEL
    truth, answer = volume.label[labeled], answer[labeled]
    scores = []
    for k in range(1, classes):
        given, true = answer == k, truth == k
        size = int(given.sum()) + int(true.sum())
        scores.append(2.0 * int((given & true).sum()) / size if size else float("nan"))
    return scores
