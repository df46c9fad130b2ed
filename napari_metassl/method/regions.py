"""Quadripartition: two predictions of the same voxels split them into four regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.region import Region

MOST_CLASSES = 255
"""Class numbers are kept in bytes, and one byte is no class."""
_PLUS_IF_SUSPICIOUS = Region.US - Region.UC
_PLUS_IF_DISCREPANT = Region.DC - Region.UC


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one network says about every voxel, without gradient.

    Attributes
    ----------
    label
        (B, *spatial) uint8, the most probable class.
    confidence
        (B, *spatial) float32, its softmax probability.
    """

    label: Tensor
    confidence: Tensor


@torch.no_grad()
def read_prediction(logits: Tensor) -> Prediction:
    """Label and confidence of every voxel from logits (B, C, Z, Y, X) or (B, C, Y, X).

    Goes through the class slices elementwise: with few classes, which lie far apart in memory,
    ``logits.max(dim=1)`` takes many times longer on a CPU.

    Raises
    ------
    MetaSSLError
        If the logits are not (B, C, *spatial) with 2 or 3 spatial axes and 2 to 255 classes.
    """
    check_logits(logits)
    slices = logits.detach().unbind(dim=1)
    best = slices[0]
    label = (slices[1] > best).view(torch.uint8)
    for k in range(2, len(slices)):
        # class numbers rise, so the largest k that was better than all before is the argmax
        best = torch.maximum(best, slices[k - 1])
        label = torch.maximum(label, (slices[k] > best).view(torch.uint8) * k)
    return Prediction(label, softmax(logits).amax(dim=1))


def softmax(logits: Tensor) -> Tensor:
    """Probabilities (B, C, *spatial), without gradient, never in half precision."""
    return logits.detach().softmax(dim=1, dtype=at_least_float32(logits))


def at_least_float32(tensor: Tensor) -> torch.dtype:
    """Type to compute a tensor's softmax in: its own, but never half precision."""
    return torch.promote_types(tensor.dtype, torch.float32)


def check_logits(logits: Any) -> None:
    """Raise unless the logits are floating (B, C, *spatial) of a 2D or 3D network.

    Raises
    ------
    MetaSSLError
        If they are no tensor, no floating numbers, without voxels, or of other axes or classes
        than 2 to 255.
    """
    if not isinstance(logits, Tensor):
        raise MetaSSLError(
            f"Logits are of type {type(logits).__name__}, expected a tensor for each prediction. "
            "Of a network with several outputs, give the one at full resolution."
        )
    if logits.ndim not in (4, 5) or not logits.is_floating_point():
        raise MetaSSLError(
            f"Logits are {str(logits.dtype).removeprefix('torch.')} of shape "
            f"{tuple(logits.shape)}, expected floating (B, C, Z, Y, X) or (B, C, Y, X). "
            "Give the networks' raw output for a batch."
        )
    if not logits.numel():
        raise MetaSSLError(
            f"Logits have shape {tuple(logits.shape)}, expected at least one voxel. "
            "Leave empty batches out."
        )
    if not 2 <= logits.shape[1] <= MOST_CLASSES:
        raise MetaSSLError(
            f"Logits have {logits.shape[1]} class(es) in axis 1, expected 2 to {MOST_CLASSES}. "
            "Give one channel per class, the background included."
        )


def quadripartition(reference: Prediction, other_label: Tensor, threshold: Tensor) -> Tensor:
    r"""Split the voxels into the regions UC, US, DC, DS.

    Unanimous where both labels agree, else discrepant; confident where the reference's
    confidence exceeds the threshold of the reference's own class (strictly), else suspicious
    (Zhao et al., MetaSSL, IEEE TMI 2025).

    Parameters
    ----------
    reference
        The prediction whose confidence decides.
    other_label
        (B, *spatial), label of the other prediction.
    threshold
        (C,) thresholds per class, or (B, *spatial) the threshold of every voxel.

    Returns
    -------
    Tensor
        (B, *spatial) uint8, values of :class:`Region`.
    """
    if threshold.ndim == 1:
        threshold = threshold.float().index_select(0, reference.label.flatten().int())
        threshold = threshold.view(reference.label.shape)
    suspicious = ~(reference.confidence > threshold)
    discrepant = reference.label != other_label
    region = discrepant.view(torch.uint8) * _PLUS_IF_DISCREPANT
    return region.add_(suspicious.view(torch.uint8) * _PLUS_IF_SUSPICIOUS).add_(int(Region.UC))
