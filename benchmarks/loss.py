"""The heterogeneous loss, forward and backward, against one cross-entropy per region.

Time, and the most memory needed at once: what is kept for the backward pass, temporaries, and
the gradients of both predictions. Logits and labels do not count, they are there all the time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.figures import Figure, median_ms
from benchmarks.memory import peak_bytes
from benchmarks.straightforward import straightforward
from napari_metassl.method.losses import MetaSSLLoss
from napari_metassl.method.training_config import LossConfig

SIZES = ((2, 2, 112, 112, 80), (12, 4, 256, 256))
CONSISTENCY = 0.1
FIXED = LossConfig(threshold_momentum=0.0)
"""Thresholds that stay at the cap, the same for both."""


def measure() -> list[Figure]:
    """Measure one symmetric step's loss at the sizes of a 3D and of a 2D training."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return [figure for size in SIZES for figure in _one_size(size, device)]


def _one_size(size: tuple[int, ...], device: torch.device) -> list[Figure]:
    step = LossStep(size, device)
    step.check()

    def ours() -> None:
        step.ours()
        _wait(device)

    def baseline() -> None:
        step.baseline()
        _wait(device)

    where = f"{torch.get_num_threads()} threads" if device.type == "cpu" else "GPU"
    note = " x ".join(map(str, size)) + f", {where}"
    name = "loss, forward and backward"
    need, baseline_need = (peak_bytes(action, device) / 2**20 for action in (ours, baseline))
    return [
        Figure(name, median_ms(ours), median_ms(baseline, 3), "ms", note),
        Figure(f"{name}: peak memory", need, baseline_need, "MiB", note),
    ]


class LossStep:
    """Made-up logits of both predictions with half of the batch labeled; both ways to a gradient.

    Parameters
    ----------
    size
        (B, C, *spatial).
    device
        Of all tensors.
    """

    def __init__(self, size: tuple[int, ...], device: torch.device) -> None:
        random = torch.Generator().manual_seed(0)
        self.logits = [
            torch.randn(size, generator=random).mul_(3).to(device).requires_grad_()
            for _ in range(2)
        ]
        self.labeled = size[0] // 2
        label = torch.randint(size[1], (size[0], *size[2:]), generator=random)
        label[self.labeled :] = -1
        self.label = label.to(device)
        self.loss = MetaSSLLoss(size[1], FIXED)

    def ours(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Total and the gradients of both logits."""
        total = self.loss(self.logits, self.label, consistency=CONSISTENCY).total
        return total, torch.autograd.grad(total, self.logits)

    def baseline(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Compute the same in the straightforward way."""
        total = straightforward(
            self.logits, self.label, FIXED, labeled=self.labeled, consistency=CONSISTENCY
        )
        return total, torch.autograd.grad(total, self.logits)

    def check(self) -> None:
        """Raise unless both ways give the same."""
        torch.testing.assert_close(self.ours(), self.baseline(), rtol=1e-4, atol=1e-7)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    from benchmarks.figures import report

    report(measure())
