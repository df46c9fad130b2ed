"""The card of a model pair: everything about it except its weights, as JSON (torch-free)."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from napari_metassl.errors import PairProblem
from napari_metassl.method.checked_model import CheckedModel, validation_sentence
from napari_metassl.method.network_config import NetworkConfig, fit_patch_size

FORMAT_VERSION = 1
CARD_FILE = "card.json"
WEIGHT_FILES = ("supervised.safetensors", "reference.safetensors")
START_THRESHOLD = 0.9

# Told apart by colour-blind eyes too, and from the colours of the regions (Tol's palettes);
# class 0, background, is not shown.
CLASS_COLORS = (
    "#000000", "#ee3377", "#44aa99", "#bbcc33", "#aa4499", "#eedd88", "#999933", "#882255",
)  # fmt: skip


class Normalisation(CheckedModel):
    """How intensities are brought to the range the networks were trained in, per channel.

    Attributes
    ----------
    kind
        'zscore': mean 0 and deviation 1 over the voxels above the channel's minimum (what equals
        the minimum is air or padding). 'percentile': percentiles `low`..`high` (0.5 and 99.5
        where not given) of those voxels become 0..1, clipped. 'window': intensities
        `low`..`high` (such as Hounsfield units) become 0..1, clipped. 'none': as they are.
    low, high
        Bounds of 'percentile' (in %) and 'window' (in the image's units).
    """

    kind: Literal["zscore", "percentile", "window", "none"] = "zscore"
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _bounds_fit(self) -> Normalisation:
        bounds = (self.low, self.high)
        if self.kind in ("zscore", "none"):
            if bounds != (None, None):
                raise ValueError(f"Normalisation '{self.kind}' takes no low and high; leave them.")
            return self
        if self.kind == "percentile":
            bounds = self.percentiles
        low, high = bounds
        if low is None or high is None or not (math.isfinite(high - low) and low < high):
            raise ValueError(
                f"Normalisation '{self.kind}' got low {low} and high {high}; give two numbers, the "
                "lower first."
            )
        if self.kind == "percentile" and not (low >= 0 and high <= 100):
            raise ValueError(f"Percentiles {low} and {high} are outside 0 to 100; choose inside.")
        return self

    @property
    def percentiles(self) -> tuple[float, float]:
        """Lower and upper percentile, in %."""
        return (
            0.5 if self.low is None else self.low,
            99.5 if self.high is None else self.high,
        )


class ModelCard(CheckedModel):
    """What a pair of networks is, does and came from.

    Attributes
    ----------
    name
        Shown to the person.
    class_names
        One per class; class 0 is the background.
    class_colors
        "#rrggbb" per class; a colour-blind safe set where not given.
    supervised, reference
        The two networks (METHOD's supervised and reference prediction come from them).
    strategy
        How the pair was trained: 'cps', 'mean_teacher', 'fixmatch', 'r_drop' ...
    thresholds
        Adaptive class thresholds of the supervised and of the reference network, (2, C).
    spacing
        (z, y, x) in mm the networks were trained at; None: whatever the volume has. A 2D pair
        keeps the volume's own z spacing.
    patch_size
        Window of inference, in voxels of the network's grid, one side per spatial dimension.
    parent, job_id
        Pair this one was fine-tuned from, and the job that did it.
    metrics
        Figures found on the validation volumes, JSON values.
    sha256
        Of the two weight files; empty until saved.
    """

    name: str = Field(min_length=1, max_length=200)
    class_names: tuple[str, ...]
    class_colors: tuple[str, ...] = ()
    supervised: NetworkConfig
    reference: NetworkConfig
    strategy: str = "cps"
    thresholds: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    spacing: tuple[float, float, float] | None = None
    patch_size: tuple[int, ...]
    normalisation: Normalisation = Normalisation()
    parent: str | None = None
    job_id: str | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    sha256: dict[str, str] = Field(default_factory=dict)
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    format_version: int = FORMAT_VERSION

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return self.supervised.classes

    @property
    def networks(self) -> tuple[NetworkConfig, NetworkConfig]:
        """Both configurations, in the order supervised, reference."""
        return self.supervised, self.reference

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sums of both weight files: names these very weights."""
        sums = "".join(self.sha256.get(file, "") for file in WEIGHT_FILES)
        return hashlib.sha256(sums.encode()).hexdigest()

    @model_validator(mode="before")
    @classmethod
    def _fill_per_class(cls, values: Any) -> Any:
        """Colours and thresholds that were not given: one for each class name."""
        if not isinstance(values, dict) or not isinstance(values.get("class_names"), list | tuple):
            return values
        count = len(values["class_names"])
        filled = dict(values)
        if not filled.get("class_colors"):
            filled["class_colors"] = class_palette(count)
        if not any(filled.get("thresholds") or ()):
            filled["thresholds"] = ((START_THRESHOLD,) * count,) * 2
        return filled

    @field_validator("class_colors")
    @classmethod
    def _colors_are_hex(cls, colors: tuple[str, ...]) -> tuple[str, ...]:
        for color in colors:
            if (
                len(color) != 7
                or color[0] != "#"
                or set(color[1:].lower()) - set("0123456789abcdef")
            ):
                raise ValueError(f"Class colour '{color}' is not of the form #rrggbb; write it so.")
        return colors

    @model_validator(mode="after")
    def _parts_agree(self) -> ModelCard:
        a, b = self.networks
        for what in ("classes", "in_channels", "spatial_dims"):
            if getattr(a, what) != getattr(b, what):
                raise ValueError(
                    f"The supervised network has {what} {getattr(a, what)} but the reference "
                    f"network has {getattr(b, what)}; both must have the same."
                )
        self._check_per_class()
        if self.spacing is not None and not all(0 < s < math.inf for s in self.spacing):
            raise ValueError(f"Spacing is {self.spacing} mm; give three positive sizes or none.")
        self._check_patch()
        return self

    def _check_per_class(self) -> None:
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"Class names {self.class_names} repeat one; make them different.")
        lengths = {
            "class names": len(self.class_names),
            "class colours": len(self.class_colors),
            "thresholds of the supervised network": len(self.thresholds[0]),
            "thresholds of the reference network": len(self.thresholds[1]),
        }
        for what, length in lengths.items():
            if length != self.classes:
                raise ValueError(
                    f"The card has {length} {what} but its networks have {self.classes} classes "
                    "(background included); give one for each."
                )

    def _check_patch(self) -> None:
        dims = self.supervised.spatial_dims
        if len(self.patch_size) != dims or min(self.patch_size) < 1:
            raise ValueError(
                f"Patch size {self.patch_size} does not fit {dims}D networks; give {dims} sides."
            )
        fitting = fit_patch_size(self.patch_size, *self.networks)
        if self.patch_size != fitting:
            raise ValueError(
                f"Patch size {self.patch_size} cannot pass through {self.supervised.architecture} "
                f"and {self.reference.architecture}; the nearest that can is {fitting}."
            )


def class_palette(count: int) -> tuple[str, ...]:
    """Choose colours for `count` classes, background first; they repeat when there are many."""
    shown = CLASS_COLORS[1:]
    return (CLASS_COLORS[0], *(shown[i % len(shown)] for i in range(count - 1)))[:count]


def read_card(folder: Path) -> ModelCard:
    """Read the card of the pair in `folder`, without its weights.

    Raises
    ------
    PairProblem
        If `folder` holds no pair, or one of a future format, or its card is damaged.
    """
    path = Path(folder) / CARD_FILE
    if not path.is_file():
        raise PairProblem(
            f"'{folder}' is not a model pair: it has no {CARD_FILE}. "
            f"Choose a folder with {CARD_FILE}, {WEIGHT_FILES[0]} and {WEIGHT_FILES[1]}."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PairProblem(
            f"'{path}' cannot be read as JSON ({error}). Restore the pair."
        ) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise PairProblem(
            f"'{folder}' is written in pair format {version}, this program reads up to "
            f"{FORMAT_VERSION}. Update napari-metassl."
        )
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        raise PairProblem(f"'{path}' is not a valid card: {validation_sentence(error)}") from error


def list_pairs(folder: Path) -> list[tuple[Path, ModelCard]]:
    """Find the pairs directly inside `folder`, oldest first.

    Folders that begin with a dot are unfinished and left out; a damaged card is left out with a
    warning.
    """
    found = []
    for candidate in _subfolders(Path(folder)):
        try:
            found.append((candidate, read_card(candidate)))
        except PairProblem as problem:
            warnings.warn(str(problem), stacklevel=2)
    return sorted(found, key=lambda item: (item[1].created, item[0].name))


def _subfolders(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        return ()
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and (path / CARD_FILE).is_file()
    ]
