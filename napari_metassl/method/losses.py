"""The MetaSSL loss: supervised, plus one weighted cross-entropy over the four regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.dice import dice_loss
from napari_metassl.method.region_weights import count, region_bins, weight_table
from napari_metassl.method.regions import (
    NOT_COMPUTED,
    Prediction,
    Region,
    quadripartition,
    read_prediction,
)
from napari_metassl.method.threshold import AdaptiveThresholds, class_bins
from napari_metassl.method.training_config import LossConfig
from napari_metassl.method.voxel_kinds import Kind, check_batch, is_labeled, voxel_kinds
from napari_metassl.method.weighted_cross_entropy import voxel_cross_entropy, with_gradient


class NotFiniteError(MetaSSLError):
    """The networks' output, and so the loss, is NaN or infinite."""


@dataclass(frozen=True)
class Link:
    """One prediction that learns, and the prediction whose labels it learns from.

    ``reference`` None: it learns from manual labels only.
    """

    prediction: int
    reference: int | None


SYMMETRIC = (Link(0, 1), Link(1, 0))
"""Two predictions that teach each other."""
ONE_SIDED = (Link(0, 1),)
"""The second prediction teaches the first."""


@dataclass(frozen=True, eq=False)
class LossTerms:
    """The loss of one batch and its parts; the tuples hold one number per link.

    Attributes
    ----------
    total
        Scalar with gradient.
    supervised
        1/2 (CE + Dice).
    hetero_labeled, hetero_unlabeled
        The heterogeneous loss, before lambda.
    shares
        Fractions of UC, US, DC, DS among the unlabeled voxels, mean over the links; all zero
        without unlabeled voxels.
    regions
        Per link (B, *spatial) uint8: labeled voxels with the link's prediction as the
        reference, the others with its reference. Empty for a link without reference.
    """

    total: Tensor
    supervised: tuple[float, ...]
    hetero_labeled: tuple[float, ...]
    hetero_unlabeled: tuple[float, ...]
    shares: tuple[float, ...]
    regions: tuple[Tensor, ...]


class MetaSSLLoss:
    r"""The whole loss of a semi-supervised step, for any strategy, 2D or 3D, any batch.

    .. math::
        L = \tfrac12 (\mathrm{CE} + \mathrm{Dice})
            + \lambda \sum_r w_r \frac{\sum_{v \in r} \mathrm{CE}_v}{n_r + 1}

    summed over the links. Unlabeled voxels: target is the reference's label, region by its
    confidence. Labeled voxels: target is the manual label, region with the link's own prediction
    as the reference. UC is averaged in two parts, foreground and background (Zhao et al.,
    MetaSSL, IEEE TMI 2025). Which voxels are labeled is decided voxel by voxel.

    Every voxel has one target and one region, so one cross-entropy and one map of weights per
    link give all of it.

    Parameters
    ----------
    classes
        C, the background included.
    config
        Weights and thresholds; a ``TrainingConfig`` is one too.
    predictions
        Number of predictions the strategy makes.

    Examples
    --------
    >>> loss = MetaSSLLoss(classes=2)
    >>> logits = torch.randn(2, 2, 8, 8, 8, requires_grad=True), torch.randn(2, 2, 8, 8, 8)
    >>> label = torch.full((2, 8, 8, 8), -1)
    >>> label[0] = 0
    >>> loss(logits, label, consistency=0.1, links=ONE_SIDED).total.backward()
    """

    def __init__(
        self, classes: int, config: LossConfig | None = None, *, predictions: int = 2
    ) -> None:
        self.config = config or LossConfig()
        self.thresholds = AdaptiveThresholds(
            classes,
            self.config.threshold_start,
            self.config.threshold_momentum,
            self.config.cap,
            predictions=predictions,
        )

    def __call__(
        self,
        logits: Sequence[Tensor],
        label: Tensor,
        *,
        corrected: Tensor | None = None,
        valid: Tensor | None = None,
        consistency: float = 0.1,
        links: Sequence[Link] = SYMMETRIC,
    ) -> LossTerms:
        """Update the thresholds with this batch, split it into regions, and weigh it.

        Parameters
        ----------
        logits
            One (B, C, *spatial) per prediction.
        label
            (B, *spatial) integer, -1 where there is no label.
        corrected
            (B, *spatial) bool: labeled voxels that are never down-weighted.
        valid
            (B, *spatial) bool: False where there is no image (padding).
        consistency
            lambda of this step.
        links
            Which prediction learns from which.

        Raises
        ------
        NotFiniteError
            If logits are NaN or infinite.
        MetaSSLError
            If shapes, classes or labels do not fit, or no voxel is labeled.
        """
        check_batch(logits, label, self.thresholds.classes, corrected, valid)
        kind = voxel_kinds(label, corrected, valid)
        before = self.thresholds.stored.clone()
        try:
            return self._terms(logits, label, kind, consistency, links)
        except MetaSSLError:
            self.thresholds.stored = before  # a batch that cannot be used leaves no trace
            raise

    def _terms(
        self,
        logits: Sequence[Tensor],
        label: Tensor,
        kind: Tensor,
        consistency: float,
        links: Sequence[Link],
    ) -> LossTerms:
        predictions = [read_prediction(x) for x in logits]
        maps = self._update_thresholds(predictions, kind)
        parts = []
        for link in links:
            view = _view(link, predictions, maps, label, kind)
            parts.append(_link_loss(logits[link.prediction], view, self.config, consistency))
        return LossTerms(
            total=torch.stack([part.total for part in parts]).sum(),
            supervised=tuple(part.supervised for part in parts),
            hetero_labeled=tuple(part.hetero_labeled for part in parts),
            hetero_unlabeled=tuple(part.hetero_unlabeled for part in parts),
            shares=_mean_shares([part.shares for part in parts]),
            regions=tuple(part.region for part in parts),
        )

    def _update_thresholds(self, predictions: Sequence[Prediction], kind: Tensor) -> list[Tensor]:
        """Update first, then give every voxel the threshold of its own predicted class."""
        maps = []
        for number, prediction in enumerate(predictions):
            bins = class_bins(prediction.label, kind, self.thresholds.classes)
            self.thresholds.update(number, bins, prediction.confidence)
            maps.append(self.thresholds.per_voxel(number, bins))
        return maps


@dataclass(frozen=True, eq=False)
class _View:
    """One link's look at the batch; all (B, *spatial)."""

    log_sum: Tensor
    target: Tensor
    region: Tensor
    splitting_label: Tensor  # label of the prediction that the voxel's region was decided by
    kind: Tensor
    has_reference: bool


@dataclass(frozen=True, eq=False)
class _LinkLoss:
    total: Tensor
    supervised: float
    hetero_labeled: float
    hetero_unlabeled: float
    shares: tuple[float, ...] | None
    region: Tensor


def _view(
    link: Link,
    predictions: Sequence[Prediction],
    maps: Sequence[Tensor],
    label: Tensor,
    kind: Tensor,
) -> _View:
    own = predictions[link.prediction]
    if link.reference is None:
        region = torch.zeros_like(own.label)
        return _View(own.log_sum, label.clamp(min=0), region, own.label, kind, False)
    reference = predictions[link.reference]
    labeled = is_labeled(kind)
    region = torch.where(
        labeled,
        quadripartition(own, reference.label, maps[link.prediction]),
        quadripartition(reference, own.label, maps[link.reference]),
    )
    region.masked_fill_(kind == int(Kind.IGNORED), NOT_COMPUTED)
    target = torch.where(labeled, label.to(torch.uint8), reference.label)
    return _View(
        own.log_sum,
        target,
        region,
        torch.where(labeled, own.label, reference.label),
        kind,
        True,
    )


def _link_loss(logits: Tensor, view: _View, config: LossConfig, consistency: float) -> _LinkLoss:
    bins = region_bins(view.region, view.splitting_label, view.kind)
    cross_entropy = voxel_cross_entropy(logits, view.log_sum, view.target)
    counts, sums = count(bins), count(bins, cross_entropy)
    hetero = weight_table(counts, config) if view.has_reference else torch.zeros_like(sums)
    plain = torch.zeros_like(sums)
    plain[Kind.LABELED : Kind.CORRECTED + 1] = 0.5 / counts[Kind.LABELED : Kind.CORRECTED + 1].sum()
    table = plain + consistency * hetero
    weight = table.to(view.log_sum.dtype).flatten().index_select(0, bins.flatten())
    dice = 0.5 * dice_loss(logits, view.target, is_labeled(view.kind))
    value = (table * sums).sum().to(view.log_sum.dtype)
    total = dice + with_gradient(value, logits, view.log_sum, view.target, weight.view(bins.shape))
    return _report(total, dice, view.region, (counts, plain * sums, hetero * sums))


def _report(
    total: Tensor, dice: Tensor, region: Tensor, tables: tuple[Tensor, Tensor, Tensor]
) -> _LinkLoss:
    """Bring the figures to the host at once: one wait per link on a GPU."""
    counts, plain, hetero = tables
    supervised = plain.sum() + dice.detach()
    labeled = hetero[Kind.LABELED] + hetero[Kind.CORRECTED]
    unlabeled = hetero[Kind.UNLABELED]
    figures = torch.stack([total.detach(), supervised, labeled.sum(), unlabeled.sum()])
    value, supervised_value, labeled_value, unlabeled_value = figures.tolist()
    kinds = counts.tolist()
    if not any(kinds[Kind.LABELED]) and not any(kinds[Kind.CORRECTED]):
        raise MetaSSLError(
            "The batch has no labeled voxel, expected at least one for the supervised loss. "
            "Put a labeled or corrected item into every batch."
        )
    if not math.isfinite(value):
        raise NotFiniteError(
            f"The loss is {value}: the networks' output is not finite. Lower the learning "
            "rate, or train in full precision."
        )
    background, foreground, *others = kinds[Kind.UNLABELED]
    voxels = sum(kinds[Kind.UNLABELED])
    shares = tuple(n / voxels for n in (background + foreground, *others)) if voxels else None
    return _LinkLoss(total, supervised_value, labeled_value, unlabeled_value, shares, region)


def _mean_shares(links: Sequence[tuple[float, ...] | None]) -> tuple[float, ...]:
    known = [shares for shares in links if shares is not None]
    if not known:
        return (0.0,) * len(Region)
    return tuple(sum(column) / len(known) for column in zip(*known, strict=True))
