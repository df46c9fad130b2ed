"""One batch of patches, labeled items first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches with what is known of every voxel.

    Attributes
    ----------
    image
        (B, channels, *spatial) float32.
    label
        (B, *spatial) int16, -1 where there is no label.
    corrected
        (B, *spatial) bool, voxels a person confirmed or changed.
    valid
        (B, *spatial) bool, False in padding.
    """

    image: Tensor
    label: Tensor
    corrected: Tensor
    valid: Tensor

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Apply the same change to all four tensors."""
        return Batch(
            change(self.image), change(self.label), change(self.corrected), change(self.valid)
        )

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))
