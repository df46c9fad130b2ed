"""Adaptive class-wise threshold: how sure a prediction must be to count as confident."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.confidence import LEVEL_CONFIDENCE, TOP_LEVEL, confidence_to_level
from napari_metassl.method.voxel_kinds import Known


class AdaptiveThresholds:
    r"""Thresholds per class, one state per prediction and separately for labeled voxels.

    .. math::
        m_k = \frac{\sum_{\hat y = k} c}{n_k + 1}, \qquad
        \tau_k \leftarrow \alpha\, m_k + (1 - \alpha)\, \tau_k, \qquad
        \text{in use: } \min(\tau_k, \text{cap})

    with c the confidence and n_k the number of voxels whose label is k in the batch (MetaSSL,
    IEEE TMI 2025). A class absent from the batch keeps its threshold.

    With a ``quantile`` (ours, not the paper's) m_k is that quantile of the confidence of class k:
    the mean of confidences that crowd at 1 with a long tail below calls a large part of every
    class suspicious, the quantile as large a part as it says.

    Parameters
    ----------
    classes
        C, the background included.
    start, momentum, cap
        Initial threshold, alpha, and the largest threshold in use.
    predictions
        Number of predictions, each with a state of its own.
    quantile
        Part of each class's voxels that m_k has below it; None takes the mean.

    Attributes
    ----------
    stored
        (predictions, 2, C) float32: the state before the cap; the middle axis is unlabeled (0),
        labeled (1).
    """

    def __init__(
        self,
        classes: int,
        start: float = 0.9,
        momentum: float = 0.5,
        cap: float = 0.9,
        *,
        predictions: int = 2,
        quantile: float | None = None,
    ) -> None:
        self.momentum = momentum
        self.quantile = quantile
        self.cap = cap
        self.stored = torch.full((predictions, 2, classes), start, dtype=torch.float32)

    @property
    def classes(self) -> int:
        """C, the background included."""
        return self.stored.shape[-1]

    @property
    def used(self) -> Tensor:
        """The thresholds in use, (predictions, 2, C)."""
        return self.stored.clamp(max=self.cap)

    @torch.no_grad()
    def update(self, prediction: int, bins: Tensor, confidence: Tensor) -> None:
        """Move the thresholds of one prediction towards each class's mean (quantile) confidence.

        Where several processes train together, over the batches of all of them.

        Parameters
        ----------
        prediction
            Whose thresholds.
        bins
            (B, *spatial) int32 from :func:`class_bins`.
        confidence
            (B, *spatial) confidence of that prediction.
        """
        flat, size = bins.flatten(), 3 * self.classes
        count = torch.bincount(flat, minlength=size)[: 2 * self.classes]
        total = torch.bincount(flat, weights=precise(confidence.flatten()), minlength=size)
        total = total[: 2 * self.classes]
        _add_up(count, total)
        aim = total / (count + 1)
        if self.quantile is not None:
            # NaN has no level, so it would leave no trace without the mean
            aim = self._quantiles(flat, confidence) + 0.0 * aim
        aim = aim.view(2, -1).to(self.stored.dtype)
        self.stored = self.stored.to(aim.device)
        state = self.stored[prediction]
        moved = self.momentum * aim + (1.0 - self.momentum) * state
        self.stored[prediction] = torch.where(count.view(2, -1) > 0, moved, state)

    def _quantiles(self, bins: Tensor, confidence: Tensor) -> Tensor:
        """Quantile of the confidence in every bin of labeled and unlabeled voxels, (2C,)."""
        assert self.quantile is not None
        levels = TOP_LEVEL + 1
        both = bins * levels + confidence_to_level(confidence).flatten()
        counts = torch.bincount(both, minlength=3 * self.classes * levels)
        counts = counts[: 2 * self.classes * levels].view(-1, levels)
        _add_up(counts)
        up_to = counts.cumsum(dim=1)
        rank = (self.quantile * up_to[:, -1:]).clamp(min=1)
        level = (up_to < rank).sum(dim=1).clamp(max=TOP_LEVEL)  # of an absent class, whatever
        return torch.as_tensor(LEVEL_CONFIDENCE.copy(), device=bins.device)[level]

    def per_voxel(self, prediction: int, bins: Tensor) -> Tensor:
        """Threshold in use of every voxel, (B, *spatial) float32; ignored voxels have the cap."""
        ignored = self.used.new_full((self.classes,), self.cap)
        table = torch.cat([self.used[prediction].flatten(), ignored]).float()
        return table.index_select(0, bins.flatten()).view(bins.shape)

    def state_dict(self) -> dict[str, Any]:
        """Return the stored thresholds as plain data."""
        return {"stored": self.stored.detach().cpu().clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over thresholds stored before.

        Raises
        ------
        MetaSSLError
            If they are of other predictions or classes.
        """
        stored = torch.as_tensor(state["stored"], dtype=self.stored.dtype)
        if stored.shape != self.stored.shape:
            raise MetaSSLError(
                f"Stored thresholds have shape {tuple(stored.shape)}, expected "
                f"{tuple(self.stored.shape)} (predictions, unlabeled/labeled, classes). "
                "Continue with the strategy and the classes the run was started with."
            )
        self.stored = stored.to(self.stored.device, copy=True)


def class_bins(label: Tensor, known: Known, classes: int) -> Tensor:
    """Give every voxel the number of what is known of it and its predicted label.

    Parameters
    ----------
    label
        (B, *spatial) uint8 predicted label.
    known
        What is known of the voxels.
    classes
        C.

    Returns
    -------
    Tensor
        int32: k for unlabeled, C + k for labeled or corrected, 2C + k for ignored voxels.
    """
    row = known.labeled.view(torch.uint8)
    if known.valid is not None:
        row = row + 2 * (~known.valid).view(torch.uint8)  # what is ignored is not labeled
    return row.int().mul_(classes).add_(label)


def _add_up(*sums: Tensor) -> None:
    """Add the sums of all processes that train together, in place."""
    if distributed.is_available() and distributed.is_initialized():
        for one in sums:
            distributed.all_reduce(one)


def precise(values: Tensor) -> Tensor:
    """Return the values in the type that sums of millions of voxels are kept in."""
    return values if values.device.type == "mps" else values.double()
