"""How good is a segmentation: Dice, HD95 and average surface distance, per case and class.

The figures are MONAI's. HD95 is the larger of the two directed 95th percentiles, the average
surface distance is symmetric; both are in mm. Where a structure is missing:

| prediction | truth   | Dice | HD95, surface distance |
|------------|---------|------|------------------------|
| present    | present | yes  | yes                    |
| absent     | present | 0    | nan                    |
| present    | absent  | 0    | nan                    |
| absent     | absent  | nan  | nan                    |

Means and spreads leave nan out and say how many cases they are over, so a distance that looks good
because the structure was missed in some cases can be recognised by its number of cases.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from napari_metassl.errors import MetaSSLError

METRICS = ("dice", "hd95", "asd")
NAN = math.nan


class ClassScores(BaseModel):
    """Scores of one class in one case.

    Attributes
    ----------
    dice
        0..1.
    hd95, asd
        95th percentile Hausdorff distance and average symmetric surface distance in mm.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")

    dice: float = NAN
    hd95: float = NAN
    asd: float = NAN


class CaseScores(BaseModel):
    """Scores of one case.

    Attributes
    ----------
    name
        Of the volume.
    classes
        By the name of every class but the background.
    """

    model_config = ConfigDict(frozen=True)

    name: str = ""
    classes: dict[str, ClassScores]

    def mean(self, metric: str = "dice") -> float:
        """Mean of a metric over the classes where it is defined; nan if it is nowhere."""
        return _mean([getattr(scores, metric) for scores in self.classes.values()])

    def to_json(self) -> dict[str, Any]:
        """Plain values; None where undefined."""
        plain: dict[str, Any] = _without_nan(self.model_dump())
        plain["mean"] = {metric: _without_nan(self.mean(metric)) for metric in METRICS}
        return plain


class Spread(BaseModel):
    """A metric over several cases.

    Attributes
    ----------
    mean, spread
        Mean and sample standard deviation (nan for fewer than two cases).
    cases
        How many cases the metric is defined in.
    """

    model_config = ConfigDict(frozen=True)

    mean: float
    spread: float
    cases: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise values, nan left out."""
        known = [value for value in values if not math.isnan(value)]
        spread = statistics.stdev(known) if len(known) > 1 else NAN
        return cls(mean=_mean(known), spread=spread, cases=len(known))


class Summary(BaseModel):
    """Scores of several cases.

    Attributes
    ----------
    classes
        Class name -> metric -> mean and spread over the cases.
    overall
        Metric -> mean and spread over the cases of the case's mean over its classes.
    """

    model_config = ConfigDict(frozen=True)

    classes: dict[str, dict[str, Spread]]
    overall: dict[str, Spread]

    def to_json(self) -> dict[str, Any]:
        """Plain values; None where undefined."""
        plain: dict[str, Any] = _without_nan(self.model_dump())
        return plain


def evaluate_case(
    prediction: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    spacing: Sequence[float],
    class_names: Sequence[str],
    name: str = "",
) -> CaseScores:
    """Compare a segmentation with the true one, class by class.

    Parameters
    ----------
    prediction, truth
        (Z, Y, X) integer labels on the same grid.
    spacing
        Voxel size (dz, dy, dx) in mm.
    class_names
        Of all classes, background first.
    name
        Of the case.

    Raises
    ------
    MetaSSLError
        If the shapes differ or the truth has more classes than are named.
    """
    if prediction.shape != truth.shape:
        raise MetaSSLError(
            f"The prediction of '{name}' has shape {prediction.shape} but its label has "
            f"{truth.shape}. Bring both to the same grid."
        )
    if truth.size and int(truth.max()) >= len(class_names):
        raise MetaSSLError(
            f"The label of '{name}' reaches {int(truth.max())} but there are only "
            f"{len(class_names)} classes ({', '.join(class_names)}). Use labels 0 to "
            f"{len(class_names) - 1}."
        )
    scores = {
        class_name: _score(prediction == k, truth == k, spacing)
        for k, class_name in enumerate(class_names)
        if k > 0
    }
    return CaseScores(name=name, classes=scores)


def summarise(cases: Sequence[CaseScores]) -> Summary:
    """Mean and spread of every metric over the cases, per class and over all classes."""
    names = list(dict.fromkeys(name for case in cases for name in case.classes))
    by_class = {name: [case.classes.get(name, ClassScores()) for case in cases] for name in names}
    return Summary(
        classes={
            name: {m: Spread.of([getattr(scores, m) for scores in found]) for m in METRICS}
            for name, found in by_class.items()
        },
        overall={m: Spread.of([case.mean(m) for case in cases]) for m in METRICS},
    )


def _score(
    predicted: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_], spacing: Sequence[float]
) -> ClassScores:
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
    )

    if not predicted.any() or not true.any():
        return ClassScores(dice=0.0 if predicted.any() or true.any() else NAN)
    y_pred, y = _crop_to_both(predicted, true)
    sizes = [float(size) for size in spacing]
    hd95 = compute_hausdorff_distance(
        y_pred, y, include_background=True, percentile=95, spacing=sizes
    )
    asd = compute_average_surface_distance(
        y_pred, y, include_background=True, symmetric=True, spacing=sizes
    )
    dice = compute_dice(y_pred, y, include_background=True)
    return ClassScores(dice=dice.item(), hd95=hd95.item(), asd=asd.item())


def _crop_to_both(predicted: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_]) -> Any:
    """Both masks as (1, 1, z, y, x) tensors of the smallest box around them."""
    import torch

    either = predicted | true
    box = []
    for axis in range(either.ndim):
        others = tuple(other for other in range(either.ndim) if other != axis)
        occupied = np.flatnonzero(either.any(axis=others))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    crops = (mask[tuple(box)].astype(np.float32) for mask in (predicted, true))
    return tuple(torch.from_numpy(crop)[None, None] for crop in crops)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else NAN


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
