"""The loss as one would write it first: masks, and a cross-entropy per region and direction."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from napari_metassl.method.training_config import LossConfig

SMOOTH = 1e-5


def straightforward(
    logits: Sequence[Tensor], label: Tensor, config: LossConfig, *, labeled: int, consistency: float
) -> Tensor:
    """Compute the loss of two predictions that teach each other.

    Gives the total of ``MetaSSLLoss`` where its thresholds stay at the cap.

    Parameters
    ----------
    logits
        Two (B, C, *spatial).
    label
        (B, *spatial) int64; what it says of unlabeled items is not read.
    labeled
        How many items, the first of the batch, are labeled.
    consistency
        lambda.
    """
    confidence, predicted = zip(*(x.detach().softmax(1).max(1) for x in logits), strict=True)
    same = predicted[0] == predicted[1]
    regions = [_regions(same, confidence[i] > config.cap, predicted[i] > 0) for i in range(2)]
    total = logits[0].new_zeros(())
    for own, other in ((0, 1), (1, 0)):
        learned, manual = logits[own][:labeled], label[:labeled]
        total = total + 0.5 * (F.cross_entropy(learned, manual) + _dice(learned, manual))
        of_labeled = _per_region(
            learned,
            manual,
            [region[:labeled] for region in regions[own]],
            config.weights_labeled.values,
        )
        of_unlabeled = _per_region(
            logits[own][labeled:],
            predicted[other][labeled:],
            [region[labeled:] for region in regions[other]],
            config.weights_unlabeled.values,
        )
        total = total + consistency * (of_labeled + of_unlabeled)
    return total


def _regions(same: Tensor, confident: Tensor, foreground: Tensor) -> list[Tensor]:
    unanimous = same & confident
    return [
        unanimous & ~foreground,
        unanimous & foreground,
        same & ~confident,
        ~same & confident,
        ~same & ~confident,
    ]


def _per_region(
    logits: Tensor, target: Tensor, regions: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    total = logits.new_zeros(())
    for region, weight in zip(regions, (weights[0], *weights), strict=True):
        entropy = F.cross_entropy(logits, target, reduction="none") * region
        total = total + weight * entropy.sum() / (region.sum() + 1)
    return total


def _dice(logits: Tensor, target: Tensor) -> Tensor:
    probability = logits.softmax(1)
    truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    axes = [0, *range(2, logits.ndim)]
    overlap = (probability * truth).sum(axes)
    size = (probability**2).sum(axes) + truth.sum(axes)
    return 1 - ((2 * overlap + SMOOTH) / (size + SMOOTH)).mean()
