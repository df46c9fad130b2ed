"""Soft Dice loss over the labeled voxels, with its gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_metassl.method.voxel_kinds import Known

SMOOTH = 1e-5


class SoftDice:
    r"""Soft Dice loss over the labeled voxels of a batch, mean over all classes.

    .. math:: 1 - \frac1C \sum_k \frac{2 I_k + s}{S_k + s}, \qquad
        I_k = \sum_v p_k y_k, \quad S_k = \sum_v p_k^2 + y_k^2, \quad s = 10^{-5}

    Parameters
    ----------
    probability
        (B, C, *spatial) softmax.
    known
        Labels; voxels without one do not count.

    Attributes
    ----------
    value
        Scalar, without gradient.
    """

    def __init__(self, probability: Tensor, known: Known) -> None:
        items = known.labeled.flatten(1).any(dim=1).nonzero().flatten().tolist()
        # one stretch of the batch: no copies, and what is unlabeled in between is masked anyhow
        self._items = slice(items[0], items[-1] + 1) if items else slice(0)
        self._label = known.label[self._items]
        self._probability = probability[self._items]
        self._labeled = known.labeled[self._items].to(probability.dtype)
        overlap, sizes = [], []
        for k, p in enumerate(self._probability.unbind(dim=1)):
            truth = self._truth(k)
            overlap.append((p * truth).sum())
            sizes.append((p * p).mul_(self._labeled).sum() + truth.sum())
        self._overlap = torch.stack(overlap) * 2.0 + SMOOTH
        self._size = torch.stack(sizes) + SMOOTH
        self.value = 1.0 - (self._overlap / self._size).mean()

    def add_gradient(self, gradient: Tensor, factor: Tensor) -> None:
        r"""Add the gradient with respect to the logits, times ``factor``, to ``gradient``.

        With :math:`g_k = dL/dp_k`, the softmax gives
        :math:`dL/dx_k = p_k (g_k - \sum_j p_j g_j)`.

        Parameters
        ----------
        gradient
            (B, C, *spatial), changed in place.
        """
        scale = factor / len(self._size)
        by_truth = -2.0 * scale / self._size
        by_probability = 2.0 * scale * self._overlap / self._size.square()
        parts = []
        for k, p in enumerate(self._probability.unbind(dim=1)):
            slope = (p * by_probability[k]).mul_(self._labeled)
            parts.append(slope.add_(self._truth(k) * by_truth[k]).mul_(p))
        mean = torch.stack(parts).sum(dim=0) if len(parts) > 2 else parts[0] + parts[1]
        for k, p in enumerate(self._probability.unbind(dim=1)):
            gradient[self._items, k].add_(parts[k]).sub_(p * mean)

    def _truth(self, k: int) -> Tensor:
        return (self._label == k).to(self._probability.dtype)
