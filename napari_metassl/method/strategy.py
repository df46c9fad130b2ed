"""What a strategy is: where the two predictions come from.

A strategy holds its networks and answers three questions: the predictions for a batch, which
prediction learns from which, and what happens after the optimizer's step.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from napari_metassl.method.batch import Batch
from napari_metassl.method.losses import SYMMETRIC, Link

Networks = tuple[nn.Module, nn.Module | None]
"""(supervised, reference); None where the strategy makes the reference or needs none."""


class Strategy(nn.Module):
    """Base of all strategies; calling one gives the logits of every prediction.

    Attributes
    ----------
    links
        Which prediction learns from which.
    supervised, reference
        The pair that is left for review.
    """

    links: ClassVar[tuple[Link, ...]] = SYMMETRIC

    supervised: nn.Module
    reference: nn.Module

    def prepare(self, batch: Batch) -> Batch:
        """Change the batch before it is predicted, labels included."""
        return batch

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, C, *spatial) of every prediction from images (B, channels, *spatial)."""
        raise NotImplementedError

    def after_step(self, step: int) -> None:
        """Follow the optimizer's step number ``step``, counted from 0."""
