"""Predicted quality: what Dice a prediction without a label may have, learned from those with one.

The validation volumes have both, the figure that is known for every prediction (`expected_dice`)
and the true Dice. With `LINE_FROM` of them a line is fitted through these points, with fewer only
the mean distance between the two is taken off, and with fewer than `FEWEST` nothing is claimed:
then the figure ranks volumes, and no more. How far such a prediction is off is measured by leaving
out each validation volume in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST = 2
LINE_FROM = 5

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """How a figure becomes a Dice: ``slope * figure + offset``, kept within 0..1.

    Attributes
    ----------
    error
        Mean absolute error on volumes left out in turn.
    volumes
        How many validation volumes it was learned from.
    """

    slope: float
    offset: float
    error: float
    volumes: int

    def estimate(self, figure: float) -> float:
        """Predicted Dice of a volume with this figure."""
        return float(np.clip(self.slope * figure + self.offset, 0.0, 1.0))


def calibrate(known: Sequence[tuple[float, float]]) -> Calibration | None:
    """Learn from (figure, true Dice) of validation volumes; None if there are too few."""
    if len(known) < FEWEST:
        return None
    points = np.array(known, np.float64)
    line = len(points) >= LINE_FROM
    missed = []
    for out in range(len(points)):
        slope, offset = _fit(np.delete(points, out, axis=0), line)
        missed.append(abs(np.clip(slope * points[out, 0] + offset, 0, 1) - points[out, 1]))
    slope, offset = _fit(points, line)
    return Calibration(slope, offset, float(np.mean(missed)), len(points))


def _fit(points: Floats, line: bool) -> tuple[float, float]:
    """Slope and offset through (N, 2) points; without `line` the offset only."""
    figure, dice = points.T
    if line and np.ptp(figure) > 0:
        slope, offset = np.polyfit(figure, dice, 1)
        if slope > 0:  # otherwise the figure says nothing here, and the mean is all that is known
            return float(slope), float(offset)
        return 0.0, float(dice.mean())
    return 1.0, float((dice - figure).mean())
