"""Confidence kept in one byte, with the fine steps near 1, where the thresholds are.

    level = round(255 (1 - sqrt(1 - c)))        c = 1 - (1 - level / 255)^2

Near c = 0.9 a level is 0.0025 wide, near c = 0.999 it is 0.0002 wide; evenly spaced levels would be
0.004 wide everywhere, and half-precision numbers 0.0005 wide just below 1.
The same code serves numpy arrays and torch tensors (torch is not imported here).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    import torch

TOP_LEVEL = 255


@overload
def confidence_to_level(confidence: np.ndarray) -> np.ndarray: ...
@overload
def confidence_to_level(confidence: torch.Tensor) -> torch.Tensor: ...
def confidence_to_level(confidence: Any) -> Any:
    """Quantise confidence (max softmax probability, 0..1) to uint8 levels of the same shape.

    Accepts a numpy array or a torch tensor of any floating dtype and returns the same kind.
    Values outside 0..1 are clipped.
    """
    if hasattr(confidence, "detach"):
        doubt = 1.0 - confidence.float()
        return ((1.0 - doubt.clip(0.0, 1.0) ** 0.5) * TOP_LEVEL).round().byte()
    doubt = np.float32(1.0) - np.asarray(confidence, dtype=np.float32)
    np.clip(doubt, 0.0, 1.0, out=doubt)
    np.sqrt(doubt, out=doubt)
    np.subtract(np.float32(1.0), doubt, out=doubt)
    return np.rint(doubt * np.float32(TOP_LEVEL)).astype(np.uint8)


def level_to_confidence(level: np.ndarray) -> np.ndarray:
    """Confidence (float32) that uint8 `level` stands for; the inverse of `confidence_to_level`."""
    decoded: np.ndarray = LEVEL_CONFIDENCE[level]
    return decoded


LEVEL_CONFIDENCE = (1.0 - (1.0 - np.arange(TOP_LEVEL + 1) / TOP_LEVEL) ** 2).astype(np.float32)
"""(256,) float32 decode table: level -> confidence. Read only."""
LEVEL_CONFIDENCE.setflags(write=False)
