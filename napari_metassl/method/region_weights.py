"""From region counts to the weight of every voxel: one small table per batch."""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

from napari_metassl.method.region import Region
from napari_metassl.method.threshold import precise
from napari_metassl.method.training_config import LossConfig, RegionWeights
from napari_metassl.method.voxel_kinds import Kind


class Part(IntEnum):
    """The parts whose means make up the loss: the regions, with UC in two."""

    UC_BACKGROUND = 0
    UC_FOREGROUND = 1
    US = 2
    DC = 3
    DS = 4


BINS = len(Kind) * len(Part)
"""Every voxel falls into one of these: its kind times its part."""


def region_bins(region: Tensor, label: Tensor, kind: Tensor) -> Tensor:
    """Give every voxel the number of its kind and part, ``kind * 5 + part``.

    Parameters
    ----------
    region, label, kind
        (B, *spatial) uint8: its :class:`Region`, the label of either prediction (they are the
        same in UC), and its :class:`Kind`.

    Returns
    -------
    Tensor
        (B, *spatial) uint8.
    """
    background = (region == int(Region.UC)) & (label == 0)
    return (region - background.view(torch.uint8)).add_(kind * len(Part))


def count(bins: Tensor, values: Tensor | None = None) -> Tensor:
    """Voxels per kind and part, or the sums of ``values`` over them, (4, 5)."""
    weights = None if values is None else precise(values.flatten())
    return torch.bincount(bins.flatten(), weights, minlength=BINS).view(len(Kind), len(Part))


def weight_table(counts: Tensor, config: LossConfig) -> Tensor:
    r"""Weight of one voxel of every kind and part in the heterogeneous loss.

    .. math:: w_r / (n_r + 1)

    with n_r the voxels of the region (``normalisation="region"``: MetaSSL, IEEE TMI 2025), or all
    labeled (unlabeled) voxels (``"voxel"``). Labeled and corrected voxels are counted together;
    a corrected voxel's w_r is at least w_UC. The uniform loss gives every unlabeled voxel its
    weight / (n + 1), n all unlabeled ones, and labeled voxels none.

    Parameters
    ----------
    counts
        (4, 5) from :func:`count`.

    Returns
    -------
    Tensor
        (4, 5); all zero where the configuration has no heterogeneous loss.
    """
    if config.unlabeled_loss == "none":
        return precise(torch.zeros_like(counts))
    if config.unlabeled_loss == "uniform":
        table = precise(torch.zeros_like(counts))
        unlabeled = counts[Kind.UNLABELED]
        table[Kind.UNLABELED] = config.uniform_weight / (unlabeled.sum() + 1)
        return table
    voxels = counts.clone()
    voxels[Kind.LABELED] += counts[Kind.CORRECTED]
    voxels[Kind.CORRECTED] = voxels[Kind.LABELED]
    if config.normalisation == "voxel":
        voxels = voxels.sum(dim=1, keepdim=True)
    return precise(_weights(config).to(counts.device)) / (voxels + 1)


def _weights(config: LossConfig) -> Tensor:
    labeled = _per_part(config.weights_labeled)
    rows = {
        Kind.UNLABELED: _per_part(config.weights_unlabeled),
        Kind.LABELED: labeled,
        Kind.CORRECTED: [max(w, labeled[0]) * config.correction_gain for w in labeled],
        Kind.IGNORED: [0.0] * len(Part),
    }
    return torch.tensor([rows[kind] for kind in Kind])


def _per_part(weights: RegionWeights) -> list[float]:
    return [weights.uc, *weights.values]
