"""What one step of training reports: plain numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepReport:
    """What one step of training did; plain numbers, ready to be written as JSON.

    Attributes
    ----------
    step, steps
        Steps done so far (1 after the first) and in all.
    losses
        ``total``, ``supervised``, ``hetero_labeled``, ``hetero_unlabeled`` (summed over the
        directions) and ``consistency`` (lambda).
    shares
        Fraction of the batch's unlabeled voxels in UC, US, DC, DS; 0 without unlabeled voxels.
    thresholds
        Unlabeled thresholds in use, (supervised, reference) x classes.
    validation
        Mean Dice per foreground class on the validation volumes, by class number as text
        (``"1"``...), and ``"mean"``; None in steps without validation.
    seconds
        Wall time since the run (or its resumption) began.
    """

    step: int
    steps: int
    losses: dict[str, float]
    shares: dict[str, float]
    thresholds: tuple[tuple[float, ...], ...]
    validation: dict[str, float] | None
    seconds: float
