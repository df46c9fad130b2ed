"""Whether what the loss is given fits together: one sentence for whatever does not.

Only the reach of the labels asks the device, once; all else is known from shapes and types.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.regions import MOST_CLASSES, check_logits
from napari_metassl.method.training_config import LossConfig
from napari_metassl.method.training_volume import NO_LABEL

_LABEL_TYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_counts(classes: Any, predictions: Any) -> None:
    """Raise unless a loss can be made for so many classes and predictions.

    Raises
    ------
    MetaSSLError
        If classes are not 2 to 255, or there is no prediction.
    """
    if not isinstance(classes, int | np.integer) or not 2 <= classes <= MOST_CLASSES:
        raise MetaSSLError(
            f"The loss was asked for {classes!r} classes, expected 2 to {MOST_CLASSES}. "
            "Give the number of the networks' output channels, the background included."
        )
    if not isinstance(predictions, int | np.integer) or predictions < 1:
        raise MetaSSLError(
            f"The loss was asked for {predictions!r} predictions, expected at least 1. "
            "Give the number of logits of every batch."
        )


def check_config(config: Any) -> None:
    """Raise unless the settings of a loss are a :class:`LossConfig`.

    Raises
    ------
    MetaSSLError
        With what was given instead.
    """
    if not isinstance(config, LossConfig):
        raise MetaSSLError(
            f"The loss's settings are {_kind(config)}, expected a LossConfig. Make one with "
            "LossConfig(...)."
        )


def check_consistency(consistency: Any) -> None:
    """Raise unless lambda is a finite number of at least 0.

    Raises
    ------
    MetaSSLError
        With what was given instead.
    """
    if isinstance(consistency, Tensor) or not 0.0 <= _number(consistency) < math.inf:
        raise MetaSSLError(
            f"Consistency is {consistency!r}, expected a finite number of at least 0. Use 0 for "
            "a step without the heterogeneous loss."
        )


def check_batch(
    logits: Any,
    label: Any,
    corrected: Any,
    valid: Any,
    *,
    expected: tuple[int, int],
) -> None:
    """Raise for the first thing that does not fit together in a batch.

    Parameters
    ----------
    logits
        One (B, C, *spatial) per prediction.
    label, corrected, valid
        (B, *spatial).
    expected
        Predictions and classes the loss was made for.

    Raises
    ------
    MetaSSLError
        If kinds of numbers, shapes, devices or the labels' values do not fit.
    """
    _check_all_logits(logits, *expected)
    first = logits[0]
    _check_voxels("Label", label, first)
    _check_mask("Corrected mask", corrected, first)
    _check_mask("Valid mask", valid, first)
    _check_label_type(label)
    _check_reach(label, classes=first.shape[1])


def _check_all_logits(logits: Any, predictions: int, classes: int) -> None:
    if isinstance(logits, Tensor) or not isinstance(logits, Sequence):
        raise MetaSSLError(
            f"Logits are {_kind(logits)}, expected a sequence of one tensor per prediction. "
            "Give them as [first, second]."
        )
    if len(logits) != predictions:
        raise MetaSSLError(
            f"There are logits of {len(logits)} prediction(s), expected {predictions} as the loss "
            f"was made for. Give as many, or make it with predictions={max(len(logits), 1)}."
        )
    first = logits[0]
    for number, other in enumerate(logits):
        check_logits(other)
        if other.shape != first.shape or other.device != first.device:
            raise MetaSSLError(
                f"Logits of prediction {number} are {_place(other)}, expected {_place(first)} as "
                "those of prediction 0. Give all networks the same input and the same classes."
            )
    if first.shape[1] != classes:
        raise MetaSSLError(
            f"Logits have {first.shape[1]} classes, expected {classes} as the loss was made for. "
            "Make the loss for as many classes as the networks give."
        )


def _check_voxels(name: str, array: Any, logits: Tensor) -> None:
    """Raise unless there is one value for every voxel of the logits, on their device."""
    if not isinstance(array, Tensor):
        raise MetaSSLError(
            f"{name} is {_kind(array)}, expected a tensor. Convert it with torch.as_tensor, on "
            "the device of the logits."
        )
    voxels = (logits.shape[0], *logits.shape[2:])
    if array.shape != voxels:
        raise MetaSSLError(
            f"{name} has shape {tuple(array.shape)}, expected {voxels} (B, *spatial) of the "
            f"logits. {_shape_remedy(array, logits)}"
        )
    if array.device != logits.device:
        raise MetaSSLError(
            f"{name} is on {array.device}, expected {logits.device} as the logits. "
            "Move it with .to(logits.device)."
        )


def _shape_remedy(array: Tensor, logits: Tensor) -> str:
    batch, *spatial = logits.shape[0], *logits.shape[2:]
    if array.shape == (batch, 1, *spatial):
        return "Take the channel axis away with .squeeze(1)."
    if array.shape == logits.shape:
        return "If it is one-hot, give class numbers: .argmax(dim=1)."
    if array.shape == (batch, *spatial, logits.shape[1]):
        return "If it is one-hot, give class numbers: .argmax(dim=-1)."
    if array.shape[1:] == (*spatial,):
        return "Give one for every item of the batch, the unlabeled ones too."
    return "Crop image and label alike."


def _check_mask(name: str, mask: Any, logits: Tensor) -> None:
    if mask is None:
        return
    _check_voxels(name, mask, logits)
    if mask.dtype != torch.bool:
        raise MetaSSLError(f"{name} is {_type(mask)}, expected bool. Convert it with .bool().")


def _check_label_type(label: Tensor) -> None:
    if label.dtype not in _LABEL_TYPES:
        raise MetaSSLError(
            f"Label is {_type(label)}, expected integers (uint8, int8 to int64). "
            "Convert it with .long(), -1 where there is no label."
        )


def _check_reach(label: Tensor, classes: int) -> None:
    low, high = torch.stack(torch.aminmax(label)).tolist()  # together: one wait on a GPU
    if low >= NO_LABEL and high < classes:
        return
    remedy = "Change the labels, or give networks and loss more classes."
    if high == MOST_CLASSES:
        remedy = "If 255 is no label, write label.short().masked_fill(label == 255, -1)."
    raise MetaSSLError(
        f"Labels reach from {int(low)} to {int(high)}, expected -1 (no label) to {classes - 1}. "
        f"{remedy}"
    )


def _number(value: Any) -> float:
    """Value as a number; what is none is NaN."""
    try:
        return math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return math.nan


def _kind(value: Any) -> str:
    """'one tensor of shape (2, 3)', 'a list', for messages."""
    if isinstance(value, Tensor):
        return f"one tensor of shape {tuple(value.shape)}"
    return "None" if value is None else f"of type {type(value).__name__}"


def _place(tensor: Tensor) -> str:
    return f"of shape {tuple(tensor.shape)} on {tensor.device}"


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
