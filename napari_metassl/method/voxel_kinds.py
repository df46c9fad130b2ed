"""What is known of every voxel of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

NO_LABEL_BYTE = 255
"""``NO_LABEL`` as a byte; the number of no class."""


class Kind(IntEnum):
    """What is known of a voxel."""

    UNLABELED = 0
    LABELED = 1
    CORRECTED = 2
    """Labeled by a person at the screen: never down-weighted."""
    IGNORED = 3
    """Outside the volume (padding): enters nothing."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the voxels of a batch; all (B, *spatial).

    Attributes
    ----------
    label
        uint8, the manual label; ``NO_LABEL_BYTE`` where there is none or it does not count.
    labeled
        bool, with a label, corrected ones included.
    kind
        uint8, values of :class:`Kind`.
    valid
        bool, False in padding; None without padding.
    """

    label: Tensor
    labeled: Tensor
    kind: Tensor
    valid: Tensor | None


def what_is_known(label: Tensor, corrected: Tensor | None, valid: Tensor | None) -> Known:
    """Tell labeled, corrected, unlabeled and padded voxels apart.

    Works on bytes: ``torch.where`` and ``masked_fill_`` take ten times as long on a CPU.

    Parameters
    ----------
    label
        (B, *spatial), -1 where there is no label.
    corrected, valid
        (B, *spatial) bool or None: no corrections, no padding. A corrected voxel without a label
        is unlabeled.
    """
    known = label.to(torch.uint8)  # -1 becomes NO_LABEL_BYTE
    if valid is not None:
        known = torch.maximum(known, (~valid).view(torch.uint8) * NO_LABEL_BYTE)
    labeled = known != NO_LABEL_BYTE
    kind = labeled.view(torch.uint8)
    if corrected is not None:
        kind = kind + (corrected & labeled).view(torch.uint8)
    if valid is not None:
        kind = torch.maximum(kind, (~valid).view(torch.uint8) * int(Kind.IGNORED))
    return Known(known, labeled, kind, valid)


def choose(mask: Tensor, there: Tensor, elsewhere: Tensor) -> Tensor:
    """``torch.where`` of bytes, ten times as fast on a CPU: bits chosen by a mask of all ones.

    Parameters
    ----------
    mask
        bool.
    there, elsewhere
        uint8 of the same shape: taken where the mask is True, and where it is not.
    """
    ones = mask.view(torch.uint8).neg()
    return (there & ones) | (elsewhere & ~ones)
