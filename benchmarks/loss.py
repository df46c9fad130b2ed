"""The heterogeneous loss, forward and backward, against one cross-entropy per region."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.figures import Figure, median_ms
from napari_metassl.method.losses import MetaSSLLoss
from napari_metassl.method.training_config import LossConfig

SIZES = ((2, 2, 112, 112, 80), (12, 4, 256, 256))
CONSISTENCY = 0.1


def measure() -> list[Figure]:
    """Time one symmetric step's loss at the sizes of a 3D and of a 2D training."""
    return [_one_size(size) for size in SIZES]


def _one_size(size: tuple[int, ...]) -> Figure:
    torch.manual_seed(0)
    logits = [torch.randn(size).mul_(3).requires_grad_() for _ in range(2)]
    label = torch.randint(0, size[1], (size[0], *size[2:]))
    label[size[0] // 2 :] = -1
    loss = MetaSSLLoss(classes=size[1])

    def ours() -> None:
        loss(logits, label, consistency=CONSISTENCY).total.backward()

    def baseline() -> None:
        straightforward(logits, label, loss.config).backward()

    note = " x ".join(map(str, size)) + f", {torch.get_num_threads()} threads"
    name = "loss, forward and backward"
    return Figure(name, median_ms(ours), median_ms(baseline, 3), "ms", note)


def straightforward(logits: list[Tensor], label: Tensor, config: LossConfig) -> Tensor:
    """Compute the same kind of loss with a masked cross-entropy per region and direction."""
    labeled = int((label.flatten(1)[:, 0] >= 0).sum())
    total = torch.zeros(())
    for own, other in (logits, logits[::-1]):
        manual = label[:labeled]
        one_hot = F.one_hot(manual, own.shape[1]).movedim(-1, 1)
        soft = own[:labeled].softmax(1)
        overlap = 2 * (soft * one_hot).sum() / ((soft**2).sum() + one_hot.sum())
        total = total + 0.5 * (F.cross_entropy(own[:labeled], manual) + 1 - overlap)
        parts = _regions(own[:labeled], own[:labeled], other[:labeled])
        total = total + CONSISTENCY * _per_region(
            own[:labeled], manual, parts, config.weights_labeled.values
        )
        taught = other[labeled:].argmax(1)
        parts = _regions(other[labeled:], own[labeled:], other[labeled:])
        total = total + CONSISTENCY * _per_region(
            own[labeled:], taught, parts, config.weights_unlabeled.values
        )
    return total


def _regions(deciding: Tensor, first: Tensor, second: Tensor) -> list[Tensor]:
    confidence, label = deciding.detach().softmax(1).max(1)
    confident = confidence > 0.9
    agree = first.argmax(1) == second.argmax(1)
    unanimous = agree & confident
    return [
        unanimous & (label == 0),
        unanimous & (label != 0),
        agree & ~confident,
        ~agree & confident,
        ~agree & ~confident,
    ]


def _per_region(
    logits: Tensor, target: Tensor, regions: list[Tensor], weights: tuple[float, ...]
) -> Tensor:
    total = torch.zeros(())
    for region, weight in zip(regions, (weights[0], *weights), strict=True):
        entropy = F.cross_entropy(logits, target, reduction="none") * region
        total = total + weight * entropy.sum() / (region.sum() + 1)
    return total


if __name__ == "__main__":
    from benchmarks.figures import report

    report(measure())
