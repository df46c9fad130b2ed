"""Soft Dice loss over the labeled voxels, with its gradient."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from napari_metassl.method.regions import softmax
from napari_metassl.method.voxel_kinds import Known

SMOOTH = 1e-5
"""s in the formula: a class that is nowhere has Dice 1."""


class SoftDice:
    r"""Soft Dice loss over the labeled voxels of a batch, mean over all classes.

    .. math:: 1 - \frac1C \sum_k \frac{2 I_k + s}{S_k + s}, \qquad
        I_k = \sum_v p_k y_k, \quad S_k = \sum_v p_k^2 + y_k^2, \quad s = 10^{-5}

    with p the softmax and y 1 in voxels of the class, else 0 (Milletari et al., V-Net, 3DV 2016,
    whose denominators are squared too; there for one class).

    Parameters
    ----------
    logits
        (B, C, *spatial); not kept.
    known
        Labels; voxels without one do not count.

    Attributes
    ----------
    value
        Scalar, without gradient.
    items
        The stretch of the batch that holds all labeled items; no other has a gradient.
    """

    def __init__(self, logits: Tensor, known: Known) -> None:
        items = known.labeled.view(torch.uint8).flatten(1).amax(dim=1).nonzero().flatten().tolist()
        # one stretch of the batch: no copies, and what is unlabeled in between is masked anyhow
        self.items = slice(items[0], items[-1] + 1) if items else slice(0)
        self._label = known.label[self.items]
        self._labeled = known.labeled[self.items]
        probability = softmax(logits[self.items])
        labeled = self._labeled.to(probability.dtype)
        overlap, sizes = [], []
        for k, p in enumerate(probability.unbind(dim=1)):
            truth = (self._label == k).to(p.dtype)
            overlap.append((p * truth).sum())
            sizes.append((p * p).mul_(labeled).sum() + truth.sum())
        self._overlap = torch.stack(overlap) * 2.0 + SMOOTH
        self._size = torch.stack(sizes) + SMOOTH
        self.value = 1.0 - (self._overlap / self._size).mean()

    def gradient(self, probability: Tensor, factor: Tensor) -> list[Tensor]:
        r"""Gradient with respect to the logits of ``items``, times ``factor``, class by class.

        With :math:`g_k = dL/dp_k`, the softmax gives
        :math:`dL/dx_k = p_k (g_k - \sum_j p_j g_j)`.

        Parameters
        ----------
        probability
            (B, C, *spatial) softmax of the logits.
        factor
            Scalar tensor.
        """
        scale = factor / len(self._size)
        by_truth = -2.0 * scale / self._size
        by_probability = 2.0 * scale * self._overlap / self._size.square()
        labeled = self._labeled.to(probability.dtype)
        classes = probability[self.items].unbind(dim=1)
        parts = []
        for k, p in enumerate(classes):
            slope = (p * by_probability[k]).mul_(labeled)
            truth = (self._label == k).to(p.dtype)
            parts.append(slope.add_(truth.mul_(by_truth[k])).mul_(p))
        mean = reduce(torch.add, parts)
        return [part.addcmul_(p, mean, value=-1.0) for part, p in zip(parts, classes, strict=True)]
