"""The MetaSSL loss: supervised, plus one weighted cross-entropy over the four regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.attached_gradient import attach_gradient
from napari_metassl.method.dice import SoftDice
from napari_metassl.method.region import Region
from napari_metassl.method.region_weights import count, region_bins, weight_table
from napari_metassl.method.regions import (
    Prediction,
    at_least_float32,
    quadripartition,
    read_prediction,
)
from napari_metassl.method.threshold import AdaptiveThresholds, class_bins
from napari_metassl.method.training_config import LossConfig
from napari_metassl.method.voxel_kinds import Kind, Known, check_batch, choose, what_is_known


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
        known = what_is_known(label, corrected, valid)
        before = self.thresholds.stored.clone()
        try:
            return self._terms(logits, known, consistency, links)
        except MetaSSLError:
            self.thresholds.stored = before  # a batch that cannot be used leaves no trace
            raise

    def _terms(
        self, logits: Sequence[Tensor], known: Known, consistency: float, links: Sequence[Link]
    ) -> LossTerms:
        predictions = [read_prediction(x) for x in logits]
        regions = self._regions(predictions, known, links)
        parts = []
        for link in links:
            view = _view(link, predictions, regions, known)
            parts.append(_link_loss(logits[link.prediction], view, self.config, consistency))
        return LossTerms(
            total=torch.stack([part.total for part in parts]).sum(),
            supervised=tuple(part.supervised for part in parts),
            hetero_labeled=tuple(part.hetero_labeled for part in parts),
            hetero_unlabeled=tuple(part.hetero_unlabeled for part in parts),
            shares=_mean_shares([part.shares for part in parts]),
            regions=tuple(part.region for part in parts),
        )

    def _regions(
        self, predictions: Sequence[Prediction], known: Known, links: Sequence[Link]
    ) -> dict[tuple[int, int], Tensor]:
        """Regions of every linked pair, by (prediction that decides, the other one)."""
        maps = self._update_thresholds(predictions, known)
        pairs = {(k.prediction, k.reference) for k in links if k.reference is not None}
        return {
            (own, other): quadripartition(predictions[own], predictions[other].label, maps[own])
            for pair in pairs
            for own, other in (pair, pair[::-1])
        }

    def _update_thresholds(self, predictions: Sequence[Prediction], known: Known) -> list[Tensor]:
        """Update first, then give every voxel the threshold of its own predicted class."""
        maps = []
        for number, prediction in enumerate(predictions):
            bins = class_bins(prediction.label, known, self.thresholds.classes)
            self.thresholds.update(number, bins, prediction.confidence)
            maps.append(self.thresholds.per_voxel(number, bins))
        return maps


@dataclass(frozen=True, eq=False)
class _View:
    """One link's look at the batch.

    Attributes
    ----------
    target, region
        (B, *spatial) uint8: the class to learn and the region.
    """

    prediction: Prediction
    target: Tensor
    region: Tensor
    known: Known
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
    regions: dict[tuple[int, int], Tensor],
    known: Known,
) -> _View:
    own = predictions[link.prediction]
    if link.reference is None:
        target = choose(known.labeled, known.label, own.label)
        return _View(own, target, torch.zeros_like(own.label), known, False)
    target = choose(known.labeled, known.label, predictions[link.reference].label)
    region = choose(
        known.labeled,
        regions[link.prediction, link.reference],
        regions[link.reference, link.prediction],
    )
    if known.valid is not None:
        region *= known.valid.view(torch.uint8)
    return _View(own, target, region, known, True)


def _link_loss(logits: Tensor, view: _View, config: LossConfig, consistency: float) -> _LinkLoss:
    """Weigh the cross-entropy of every voxel by its kind and part; add Dice."""
    prediction, known = view.prediction, view.known
    target = view.target.unsqueeze(1).long()
    bins = region_bins(view.region, prediction.label, known.kind)
    counts, sums = count(bins), count(bins, _cross_entropy(logits, target))
    hetero = weight_table(counts, config) if view.has_reference else torch.zeros_like(sums)
    plain = torch.zeros_like(sums)
    supervised = slice(Kind.LABELED, Kind.CORRECTED + 1)
    plain[supervised] = 0.5 / counts[supervised].sum()
    table = plain + consistency * hetero
    dice = SoftDice(prediction.probability, known)

    def gradient(factor: Tensor) -> Tensor:
        """d/dlogits of sum(w CE) + Dice/2; the first is w (softmax - onehot)."""
        weights = (table * factor).to(dice.value.dtype).flatten()
        weight = weights.index_select(0, bins.flatten()).view(target.shape)
        slope = prediction.probability * weight
        slope.scatter_add_(1, target, weight.neg_())
        dice.add_gradient(slope, 0.5 * factor)
        return slope

    value = (table * sums).sum().to(dice.value.dtype) + 0.5 * dice.value
    total = attach_gradient(value, logits, gradient)
    return _report(total, 0.5 * dice.value, view.region, (counts, plain * sums, hetero * sums))


@torch.no_grad()
def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-log softmax(logits)[target] of every voxel, (B, 1, *spatial)."""
    logarithm = logits.detach().to(at_least_float32(logits)).log_softmax(dim=1)
    return logarithm.gather(1, target).neg_()


def _report(
    total: Tensor, dice: Tensor, region: Tensor, tables: tuple[Tensor, Tensor, Tensor]
) -> _LinkLoss:
    """Bring the figures to the host at once: one wait per link on a GPU."""
    counts, plain, hetero = tables
    supervised = plain.sum() + dice
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
