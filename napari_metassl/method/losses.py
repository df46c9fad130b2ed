"""The MetaSSL loss: supervised, plus one weighted cross-entropy over the four regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.attached_gradient import attach_gradient
from napari_metassl.method.batch_check import (
    check_batch,
    check_config,
    check_consistency,
    check_counts,
)
from napari_metassl.method.dice import SoftDice
from napari_metassl.method.link import ONE_SIDED, SYMMETRIC, Link, check_links
from napari_metassl.method.region import Region
from napari_metassl.method.region_weights import count, region_bins, weight_table
from napari_metassl.method.regions import (
    Prediction,
    quadripartition,
    read_prediction,
    softmax,
)
from napari_metassl.method.threshold import AdaptiveThresholds, class_bins
from napari_metassl.method.training_config import LossConfig
from napari_metassl.method.voxel_kinds import Kind, Known, choose, what_is_known

__all__ = ["ONE_SIDED", "SYMMETRIC", "Link", "LossTerms", "MetaSSLLoss", "NotFiniteError"]


class NotFiniteError(MetaSSLError):
    """The networks' output, and so the loss, is NaN or infinite."""


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

    Raises
    ------
    MetaSSLError
        If there are not 2 to 255 classes, or no prediction, or other settings.

    See Also
    --------
    docs/plug-and-play.md : the loss in a training loop of your own.

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
        self.config = LossConfig() if config is None else config
        check_counts(classes, predictions)
        check_config(self.config)
        self.thresholds = AdaptiveThresholds(
            classes,
            self.config.threshold_start,
            self.config.threshold_momentum,
            self.config.cap,
            predictions=predictions,
            quantile=self.config.threshold_quantile,
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
            (B, *spatial) uint8 or int8 to int64, -1 where there is no label.
        corrected
            (B, *spatial) bool: labeled voxels that are never down-weighted. Where there is no
            label it changes nothing.
        valid
            (B, *spatial) bool: False where there is no image (padding).
        consistency
            lambda of this step, at least 0.
        links
            Which prediction learns from which.

        Raises
        ------
        NotFiniteError
            If logits that learn or teach are NaN or infinite.
        MetaSSLError
            If shapes, devices, kinds of numbers, classes, labels, lambda or links do not fit, or
            no voxel is labeled. The thresholds are then as they were.
        """
        predictions, _, classes = self.thresholds.stored.shape
        check_batch(logits, label, corrected, valid, expected=(predictions, classes))
        check_links(links, predictions)
        check_consistency(consistency)
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
            view = _view(link, predictions, regions, known, self.thresholds)
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
    trace
        (2,) what the logits of the prediction and of its reference left in their thresholds: NaN
        where one was. All processes that train together see the same, so they stop together.
    """

    link: Link
    prediction: Prediction
    target: Tensor
    region: Tensor
    known: Known
    trace: Tensor

    @property
    def has_reference(self) -> bool:
        return self.link.reference is not None


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
    thresholds: AdaptiveThresholds,
) -> _View:
    own = predictions[link.prediction]
    both = [link.prediction, link.prediction if link.reference is None else link.reference]
    trace = thresholds.stored[both].flatten(1).sum(dim=1)
    if link.reference is None:
        target = choose(known.labeled, known.label, own.label)
        return _View(link, own, target, torch.zeros_like(own.label), known, trace)
    target = choose(known.labeled, known.label, predictions[link.reference].label)
    region = choose(
        known.labeled,
        regions[link.prediction, link.reference],
        regions[link.reference, link.prediction],
    )
    if known.valid is not None:
        region *= known.valid.view(torch.uint8)
    return _View(link, own, target, region, known, trace)


def _link_loss(logits: Tensor, view: _View, config: LossConfig, consistency: float) -> _LinkLoss:
    """Weigh the cross-entropy of every voxel by its kind and part; add Dice."""
    target, prediction, known = view.target, view.prediction, view.known
    bins = region_bins(view.region, prediction.label, known.kind)
    entropy = _cross_entropy(logits.detach(), target, prediction.confidence)
    counts, sums = count(bins), count(bins, entropy)
    hetero = weight_table(counts, config) if view.has_reference else torch.zeros_like(sums)
    plain = torch.zeros_like(sums)
    supervised = slice(Kind.LABELED, Kind.CORRECTED + 1)
    plain[supervised] = 0.5 / counts[supervised].sum()
    table = plain + consistency * hetero
    dice = SoftDice(logits, known)

    def gradient(logits: Tensor, factor: Tensor) -> Tensor:
        """d/dlogits of sum(w CE) + Dice/2; the first is w (softmax - onehot)."""
        slope = softmax(logits)  # made anew, not kept; changed into the gradient in place
        of_dice = dice.gradient(slope, 0.5 * factor)
        weights = (table * factor).to(slope.dtype).flatten()
        weight = weights.index_select(0, bins.flatten().int()).view(target.shape).unsqueeze(1)
        slope.mul_(weight).scatter_add_(1, target.long().unsqueeze(1), weight.neg_())
        for k, part in enumerate(of_dice):
            slope[dice.items, k].add_(part)
        return slope.to(logits.dtype)

    value = (table * sums).sum().to(dice.value.dtype) + 0.5 * dice.value
    total = attach_gradient(value, logits, gradient)
    return _report(total, 0.5 * dice.value, view, (counts, plain * sums, hetero * sums))


def _cross_entropy(logits: Tensor, target: Tensor, confidence: Tensor) -> Tensor:
    """-log softmax(logits)[target] of every voxel, (B, *spatial).

    The logit by which the target is behind the most probable class, and what that class costs.
    """
    aimed = logits.gather(1, target.long().unsqueeze(1)).squeeze(1)
    return logits.amax(dim=1).to(confidence.dtype).sub_(aimed).sub_(confidence.log())


def _report(
    total: Tensor, dice: Tensor, view: _View, tables: tuple[Tensor, Tensor, Tensor]
) -> _LinkLoss:
    """Bring the figures to the host at once: one wait per link on a GPU."""
    counts, plain, hetero = tables
    supervised = plain.sum() + dice
    labeled = hetero[Kind.LABELED] + hetero[Kind.CORRECTED]
    unlabeled = hetero[Kind.UNLABELED]
    parts = [total.detach(), *view.trace, supervised, labeled.sum(), unlabeled.sum()]
    value, own, taught, *terms = torch.stack(parts).tolist()
    kinds = counts.tolist()
    if not any(kinds[Kind.LABELED]) and not any(kinds[Kind.CORRECTED]):
        raise MetaSSLError(
            "The batch has 0 labeled voxels, expected at least 1 for the supervised loss. "
            "Put a labeled or corrected item into every batch."
        )
    _check_finite(value, own, taught, view.link)
    background, foreground, *others = kinds[Kind.UNLABELED]
    voxels = sum(kinds[Kind.UNLABELED])
    shares = tuple(n / voxels for n in (background + foreground, *others)) if voxels else None
    return _LinkLoss(
        total,
        supervised=terms[0],
        hetero_labeled=terms[1],
        hetero_unlabeled=terms[2],
        shares=shares,
        region=view.region,
    )


def _check_finite(value: float, own: float, taught: float, link: Link) -> None:
    """Raise where a loss, or what was left of either prediction, is NaN or infinite."""
    if not math.isfinite(taught) and link.reference is not None:
        raise NotFiniteError(
            f"Logits of prediction {link.reference}, which prediction {link.prediction} learns "
            "from, hold NaN or infinity, expected finite ones. Lower the learning rate, or train "
            "in full precision."
        )
    if not math.isfinite(value + own):
        raise NotFiniteError(
            f"The loss of prediction {link.prediction} is {value}, expected a finite number: its "
            "logits hold NaN or infinity. Lower the learning rate, or train in full precision."
        )


def _mean_shares(links: Sequence[tuple[float, ...] | None]) -> tuple[float, ...]:
    known = [shares for shares in links if shares is not None]
    if not known:
        return (0.0,) * len(Region)
    return tuple(sum(column) / len(known) for column in zip(*known, strict=True))
