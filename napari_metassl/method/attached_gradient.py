"""A loss whose gradient is written down instead of being recorded step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd.function import Function, once_differentiable


class _Attached(Function):
    @staticmethod
    def forward(
        ctx: Any, value: Tensor, logits: Tensor, gradient: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        ctx.gradient = gradient
        ctx.save_for_backward(logits)  # and notice if they are changed in place before it
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        (logits,) = ctx.saved_tensors
        return None, ctx.gradient(logits, given[0]), None


def attach_gradient(
    value: Tensor, logits: Tensor, gradient: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Return ``value``, a scalar, as a function of ``logits``.

    Parameters
    ----------
    value
        Computed without a graph.
    logits
        (B, C, *spatial), what the loss depends on.
    gradient
        Given the logits and the gradient of whatever follows with respect to the value, returns
        that with respect to the logits.
    """
    attached: Tensor = _Attached.apply(value, logits, gradient)  # type: ignore[no-untyped-call]
    return attached
