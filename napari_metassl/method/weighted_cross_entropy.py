"""Cross-entropy of every voxel, and the gradient of its weighted sum, without a graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@torch.no_grad()
def voxel_cross_entropy(logits: Tensor, log_sum: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy -log softmax(logits)[target] of every voxel, (B, *spatial), no gradient.

    Parameters
    ----------
    logits
        (B, C, *spatial).
    log_sum
        (B, *spatial) log of the sum of exp(logits) over the classes.
    target
        (B, *spatial) class numbers; anything in voxels of weight 0 as long as it is a class.
    """
    chosen = logits.detach()[:, 0]
    for k, values in enumerate(logits.detach().unbind(dim=1)):
        if k:
            chosen = torch.where(target == k, values, chosen)
    return log_sum - chosen


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        value, logits, log_sum, target, weight = given
        ctx.save_for_backward(logits, log_sum, target, weight)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """d/dlogits of sum(w CE) = w (softmax - onehot)."""
        logits, log_sum, target, weight = ctx.saved_tensors
        weight = weight * gradients[0]
        result = torch.empty_like(logits)
        for k, values in enumerate(logits.unbind(dim=1)):
            share = (values - log_sum).exp_()
            result[:, k] = share.sub_((target == k).to(share.dtype)).mul_(weight)
        return None, result, None, None, None


def with_gradient(
    value: Tensor, logits: Tensor, log_sum: Tensor, target: Tensor, weight: Tensor
) -> Tensor:
    """Return ``value`` with the gradient of ``sum(weight * CE(logits, target))`` attached.

    The value is known already from the sums per region; attaching the gradient saves a second
    pass and autograd's copies of the softmax.
    """
    given = (value, logits, log_sum, target, weight)
    attached: Tensor = _WithGradient.apply(*given)  # type: ignore[no-untyped-call]
    return attached
