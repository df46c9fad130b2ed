"""What is known of every voxel of a batch, and whether the batch fits the loss."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import torch
from torch import Tensor

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.regions import check_logits
from napari_metassl.method.training_volume import NO_LABEL


class Kind(IntEnum):
    """What is known of a voxel."""

    UNLABELED = 0
    LABELED = 1
    CORRECTED = 2
    """Labeled by a person at the screen: never down-weighted."""
    IGNORED = 3
    """Outside the volume (padding): enters nothing."""


def voxel_kinds(label: Tensor, corrected: Tensor | None, valid: Tensor | None) -> Tensor:
    """Tell labeled, corrected, unlabeled and padded voxels apart.

    Parameters
    ----------
    label
        (B, *spatial), -1 where there is no label.
    corrected, valid
        (B, *spatial) bool or None: no corrections, no padding.

    Returns
    -------
    Tensor
        (B, *spatial) uint8, values of :class:`Kind`. A corrected voxel without a label is
        unlabeled.
    """
    labeled = label != NO_LABEL
    kind = labeled.to(torch.uint8).mul_(int(Kind.LABELED))
    if corrected is not None:
        kind.masked_fill_(corrected & labeled, int(Kind.CORRECTED))
    if valid is not None:
        kind.masked_fill_(~valid, int(Kind.IGNORED))
    return kind


def is_labeled(kind: Tensor) -> Tensor:
    """Bool: voxels with a label, corrected ones included."""
    return (kind == int(Kind.LABELED)) | (kind == int(Kind.CORRECTED))


def check_batch(
    logits: Sequence[Tensor],
    label: Tensor,
    classes: int,
    corrected: Tensor | None,
    valid: Tensor | None,
) -> None:
    """Raise one sentence for whatever does not fit together in a batch."""
    first = logits[0]
    for other in logits:
        check_logits(other)
        if other.shape != first.shape:
            raise MetaSSLError(
                f"Logits of the two predictions have shapes {tuple(first.shape)} and "
                f"{tuple(other.shape)}, expected equal ones. Give both networks the same input "
                "and the same classes."
            )
    if first.shape[1] != classes:
        raise MetaSSLError(
            f"Logits have {first.shape[1]} classes, expected {classes} as the loss was made for. "
            "Make the loss for as many classes as the networks give."
        )
    voxels = (first.shape[0], *first.shape[2:])
    for name, array in (("Label", label), ("Corrected mask", corrected), ("Valid mask", valid)):
        if array is not None and tuple(array.shape) != voxels:
            raise MetaSSLError(
                f"{name} has shape {tuple(array.shape)}, expected {voxels} (B, *spatial) of the "
                "logits. Crop both alike, and give the label without a channel axis."
            )
    if label.is_floating_point():
        raise MetaSSLError(
            f"Label is {str(label.dtype).removeprefix('torch.')}, expected integers. "
            "Convert it with label.long(), -1 where there is no label."
        )
    low, high = (int(value) for value in torch.aminmax(label))
    if low < NO_LABEL or high >= classes:
        raise MetaSSLError(
            f"Labels reach from {low} to {high}, expected -1 (no label) to {classes - 1}. "
            "Give the networks more classes or change the labels."
        )
