"""Another adaptive threshold, for the study alone: a quantile of every class's confidence."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_metassl.method.threshold import AdaptiveThresholds


class QuantileThresholds(AdaptiveThresholds):
    """Moves towards a quantile of a class's confidence instead of its mean.

    So about this part of each class is suspicious in every batch, however sure the networks are.

    Parameters
    ----------
    like
        Whose start, momentum and shape it has; there is no cap.
    quantile
        Part of the voxels of a class that lies below its threshold.
    """

    def __init__(self, like: AdaptiveThresholds, quantile: float) -> None:
        predictions, _, classes = like.stored.shape
        start = float(like.stored.flatten()[0])
        super().__init__(classes, start, like.momentum, cap=1.0, predictions=predictions)
        self.quantile = quantile

    @torch.no_grad()
    def update(self, prediction: int, bins: Tensor, confidence: Tensor) -> None:
        """Move the thresholds of one prediction, as the method's own does."""
        state = self.stored[prediction].flatten()
        for k in range(2 * self.classes):
            found = confidence[bins == k]
            if len(found):
                rank = max(1, round(self.quantile * len(found)))
                state[k] += self.momentum * (found.kthvalue(rank).values.cpu() - state[k])
        self.stored[prediction] = state.view(2, -1)
