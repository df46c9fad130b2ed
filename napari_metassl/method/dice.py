"""Soft Dice loss over the labeled voxels."""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTH = 1e-5


def dice_loss(logits: Tensor, label: Tensor, labeled: Tensor) -> Tensor:
    r"""Soft Dice loss over the labeled voxels of a batch, mean over all classes.

    .. math:: 1 - \frac{2 \sum p y + s}{\sum p^2 + \sum y^2 + s}, \qquad s = 10^{-5}

    Parameters
    ----------
    logits
        (B, C, *spatial).
    label
        (B, *spatial) integer.
    labeled
        (B, *spatial) bool; other voxels do not count.
    """
    items = labeled.flatten(1).any(dim=1)
    if not items.all():  # the softmax of unlabeled items is not needed
        logits, label, labeled = logits[items], label[items], labeled[items]
    label = torch.where(labeled, label, -1)
    probability = logits.float().softmax(dim=1) * labeled.unsqueeze(1)
    scores = [
        _dice(values, (label == k).to(values.dtype))
        for k, values in enumerate(probability.unbind(dim=1))
    ]
    return 1.0 - torch.stack(scores).mean()


def _dice(probability: Tensor, truth: Tensor) -> Tensor:
    intersection = (probability * truth).sum()
    squares = probability.square().sum() + truth.sum()
    return (2.0 * intersection + SMOOTH) / (squares + SMOOTH)
