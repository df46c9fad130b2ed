"""What a training run is told: the loss, its weights, the optimizer and the length (no torch)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

StrategyName = Literal["cps", "mean_teacher", "fixmatch", "cct", "r_drop"]
UnlabeledLoss = Literal["heterogeneous", "uniform", "none"]
Normalisation = Literal["region", "voxel"]
Precision = Literal["auto", "32", "16-mixed", "bf16-mixed"]

STRATEGY_TITLES: dict[StrategyName, str] = {
    "cps": "Cross pseudo supervision (two networks)",
    "mean_teacher": "Mean Teacher (student and its moving average)",
    "fixmatch": "FixMatch (strong and weak views)",
    "cct": "Cross-consistency training (auxiliary and main decoder)",
    "r_drop": "R-Drop (two dropout masks)",
}
"""What a person reads for each strategy."""


SHORT_RUN_CONSISTENCY = 0.02
"""Lambda times the weight of UC is then 1."""


class RegionWeights(BaseModel):
    """Weights of the four regions of the heterogeneous loss; any non-negative numbers.

    The two presets differ because the paper and most of the authors' trainers do
    (Zhao et al., MetaSSL, IEEE TMI 2025).

    Attributes
    ----------
    uc, us, dc, ds
        Weight of unanimous-confident, unanimous-suspicious, discrepant-confident and
        discrepant-suspicious voxels.

    Raises
    ------
    ValueError
        If a weight is negative or not finite.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    uc: float
    us: float
    dc: float
    ds: float

    @field_validator("uc", "us", "dc", "ds")
    @classmethod
    def _check(cls, weight: float, info: ValidationInfo) -> float:
        if not (math.isfinite(weight) and weight >= 0.0):
            raise ValueError(
                f"Weight of region {str(info.field_name).upper()} is {weight}, expected a number "
                "of at least 0. Use 0 to leave a region out."
            )
        return weight

    @property
    def values(self) -> tuple[float, float, float, float]:
        """The weights in the order of the region ids: UC, US, DC, DS."""
        return (self.uc, self.us, self.dc, self.ds)

    @classmethod
    def from_values(cls, values: Iterable[float]) -> Self:
        """Weights from four numbers in the order UC, US, DC, DS."""
        uc, us, dc, ds = (float(value) for value in values)
        return cls(uc=uc, us=us, dc=dc, ds=ds)

    @classmethod
    def paper(cls, labeled: bool = False) -> Self:
        """Weights of the paper: ``peak * exp(-(k * ratio) ** 3)``, k = 0..3 for UC, US, DC, DS.

        Peak 50, ratio 0.6 for unlabeled and 85, 0.3 for labeled voxels (MetaSSL, IEEE TMI 2025).
        """
        peak, ratio = (85.0, 0.3) if labeled else (50.0, 0.6)
        uc, us, dc, ds = (peak * math.exp(-((k * ratio) ** 3)) for k in range(4))
        return cls(uc=uc, us=us, dc=dc, ds=ds)

    @classmethod
    def rational(cls, labeled: bool = False) -> Self:
        """Weights of most of the authors' trainers: powers of g (and b), DS above DC.

        With w = 50, unlabeled (g = 1.25, b = 5): w, w/g, w/(g b)^3, w/(g^2 b) for UC, US, DC, DS;
        labeled (g = 1.5): w, w/g, w/g^3, w/g^2.
        """
        w = 50.0
        if labeled:
            g = 1.5
            return cls(uc=w, us=w / g, dc=w / g**3, ds=w / g**2)
        g, b = 1.25, 5.0
        return cls(uc=w, us=w / g, dc=w / (g * b) ** 3, ds=w / (g**2 * b))

    @classmethod
    def equal(cls, weight: float = 50.0) -> Self:
        """Give every region the same weight: what is left is the mean over regions."""
        return cls(uc=weight, us=weight, dc=weight, ds=weight)


class LossConfig(BaseModel):
    """What the MetaSSL loss is told.

    Attributes
    ----------
    unlabeled_loss
        ``heterogeneous``: the paper's loss, labeled and unlabeled part; ``uniform``: the
        strategy's plain form, mean cross-entropy against the pseudo-label times
        ``uniform_weight``; ``none``: supervised only.
    weights_unlabeled, weights_labeled
        Weights of the regions among unlabeled and among labeled voxels; the paper's at first.
    normalisation
        ``region``: every region counts by its mean, as in the paper; ``voxel``: every voxel
        counts by its region's weight, so a tiny region stays a tiny part of the loss.
    uniform_weight
        Factor of the uniform loss. The heterogeneous loss has weights around 50, so compare the
        two at equal ``consistency * weight``.
    correction_gain
        Factor (>= 1) of a corrected voxel's weight, which is at least that of UC.
    threshold_start, threshold_momentum
        First threshold and how far each batch moves it (alpha).
    threshold_quantile
        Quantile of each class's confidence that its threshold follows; None is the paper's mean.
    threshold_cap
        Largest threshold in use; None is 1.0 with a quantile, else the paper's 0.9 (a
        ``TrainingConfig`` for slices: 1.0).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unlabeled_loss: UnlabeledLoss = "heterogeneous"
    weights_unlabeled: RegionWeights = Field(default_factory=RegionWeights.paper)
    weights_labeled: RegionWeights = Field(
        default_factory=lambda: RegionWeights.paper(labeled=True)
    )
    normalisation: Normalisation = "region"
    uniform_weight: NonNegativeFloat = 1.0
    correction_gain: float = Field(default=1.0, ge=1.0)
    threshold_start: float = Field(default=0.9, ge=0.0, le=1.0)
    threshold_momentum: float = Field(default=0.5, ge=0.0, le=1.0)
    threshold_quantile: float | None = Field(default=None, gt=0.0, lt=1.0)
    threshold_cap: float | None = Field(default=None, ge=0.0, le=1.0)

    @property
    def cap(self) -> float:
        """The threshold cap in use: the one set, 1.0 with a quantile, else the paper's 0.9."""
        if self.threshold_cap is not None:
            return self.threshold_cap
        return 0.9 if self.threshold_quantile is None else 1.0


class TrainingConfig(LossConfig):
    """Everything that decides a training run, saved beside it as JSON; the loss included.

    Attributes
    ----------
    strategy
        Where the two predictions come from.
    patch_size
        Voxels, (z, y, x), or (y, x) for 2D networks, which are trained on slices.
    batch_labeled, batch_unlabeled
        Patches of each kind in a batch.
    foreground_share
        Part of the fully labeled patches that are centred on a foreground voxel; the others
        lie anywhere.
    corrected_share
        Part of the labeled patches, after the first of a batch, taken from sparsely corrected
        volumes, centred on a corrected voxel, while there are fully labeled volumes too.
    consistency
        The largest lambda; lambda(t) = consistency * exp(-5 (1 - t/T)^2).
    ramp_fraction
        T as a fraction of ``steps``.
    steps
        Steps of the optimizer.
    flip_axes
        Axes of the patch that are flipped at random, None for all; leave out the left-right axis
        where classes have a side.
    intensity_changes
        Whether contrast and brightness change and noise is added at random.
    optimizer, learning_rate, weight_decay
        The rate is that of the first step; it falls as lr (1 - t/T)^0.9 over ``steps``.
    gradient_clip
        Largest norm of the gradient; 0 does not clip.
    ema_decay
        Largest decay of Mean Teacher's average.
    seed
        Decides all that is random.
    device, precision
        ``auto`` takes CUDA with 16-bit mixed precision where there is one, else the CPU.
    validate_every
        Steps between validations; 0 validates at the end only.
    keep
        State that a finished run leaves. ``best`` chooses by the validation volumes, whose Dice
        is then no longer an independent figure.
    """

    strategy: StrategyName = "cps"
    consistency: NonNegativeFloat = 0.1
    ramp_fraction: float = Field(default=0.4, ge=0.0, le=1.0)

    steps: PositiveInt = 1200
    patch_size: tuple[PositiveInt, ...] = (40, 64, 64)
    batch_labeled: PositiveInt = 2
    batch_unlabeled: int = Field(default=2, ge=0)
    foreground_share: float = Field(default=0.5, ge=0.0, le=1.0)
    corrected_share: float = Field(default=0.5, ge=0.0, le=1.0)
    flip_axes: tuple[int, ...] | None = None
    intensity_changes: bool = True

    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=2e-3, gt=0.0)
    weight_decay: NonNegativeFloat = 1e-4
    gradient_clip: NonNegativeFloat = 12.0
    ema_decay: float = Field(default=0.99, ge=0.0, lt=1.0)

    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    precision: Precision = "auto"
    validate_every: int = Field(default=200, ge=0)
    keep: Literal["last", "best"] = "last"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.patch_size) not in (2, 3):
            raise ValueError(
                f"patch_size has {len(self.patch_size)} numbers, expected 3 (z, y, x) or "
                "2 (y, x) for networks that work on slices."
            )
        axes = self.flip_axes or ()
        if any(axis not in range(len(self.patch_size)) for axis in axes):
            raise ValueError(
                f"flip_axes {axes} has an axis that a patch of {self.patch_size} has not. "
                f"Use axes from 0 to {len(self.patch_size) - 1}."
            )
        return self

    @property
    def spatial_dims(self) -> int:
        """3 for volumes, 2 for slices."""
        return len(self.patch_size)

    @property
    def cap(self) -> float:
        """The threshold cap in use: the one set, else the paper's for 3D (0.9) or 2D (1.0)."""
        if self.threshold_cap is None and self.spatial_dims == 2:
            return 1.0
        return super().cap

    def consistency_weight(self, step: int) -> float:
        """lambda(t) of the sigmoid ramp-up at ``step`` (0-based) of this run.

        lambda(t) = consistency * exp(-5 (1 - t/T)^2), T = ramp_fraction * steps, and
        ``consistency`` from T on (MetaSSL, after Laine & Aila 2017).
        """
        length = self.ramp_fraction * self.steps
        if step >= length:
            return self.consistency
        return self.consistency * math.exp(-5.0 * (1.0 - step / length) ** 2)

    @classmethod
    def from_scratch(cls, **changes: Any) -> Self:
        """Return settings for networks that know nothing yet; any field can be given.

        Lambda is a fifth of the paper's, whose runs last 30,000 steps: with weights around 50
        and 0.1, a run of some hundred steps is hardly led by its supervised loss at all. The
        weights are the rational ones, better than the paper's with every strategy and seed
        that was tried in short runs with few labels (docs/left-atrium-study.md).
        """
        short: dict[str, Any] = {
            "consistency": SHORT_RUN_CONSISTENCY,
            "weights_unlabeled": RegionWeights.rational(),
            "weights_labeled": RegionWeights.rational(labeled=True),
        }
        return cls(**(short | changes))

    @classmethod
    def fine_tune(cls, **changes: Any) -> Self:
        """Return settings for a short run from a trained pair; any field can be given.

        The pair's pseudo-labels are good from the start, so lambda is up after a tenth of the
        run, and the step is small enough not to forget what the pair knows.
        """
        short: dict[str, Any] = {
            "steps": 300,
            "learning_rate": 5e-4,
            "consistency": SHORT_RUN_CONSISTENCY,
            "ramp_fraction": 0.1,
            "validate_every": 100,
        }
        return cls(**(short | changes))
