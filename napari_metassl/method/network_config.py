"""Which network: a MONAI class from the allow-list and its options, saved as JSON in the card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from napari_metassl.errors import PairProblem
from napari_metassl.method.architectures import ARCHITECTURES, Architecture, per_axis
from napari_metassl.method.checked_model import CheckedModel

__all__ = ["ARCHITECTURES", "MAX_CLASSES", "NetworkConfig", "fit_patch_size", "spatial_divisor"]

MAX_CLASSES = 128  # a class takes seven bits of a prediction's code


class NetworkConfig(CheckedModel):
    """A network of the allow-list, complete: options left out are filled in when it is made.

    Attributes
    ----------
    architecture
        Name of the MONAI class, one of `ARCHITECTURES`.
    spatial_dims
        3 for volumes, 2 for a network applied slice by slice.
    in_channels
        Image channels.
    classes
        Output channels, background included.
    options
        Further constructor options of that class (lists become tuples).

    Raises
    ------
    PairProblem
        If the architecture or an option is not on the allow-list.
    """

    architecture: str
    spatial_dims: Literal[2, 3] = 3
    in_channels: int = Field(default=1, ge=1)
    classes: int = Field(ge=2, le=MAX_CLASSES)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _complete_options(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(values.get("architecture"), str):
            return values
        given = values.get("options") or {}
        if not isinstance(given, dict):
            return values
        known = _known(values["architecture"])
        options = {str(name): _plain(value, name) for name, value in given.items()}
        _refuse_unknown(values["architecture"], known, options)
        try:
            complete = {**known.defaults, **known.derived(options), **options}
            complete = {**known.derived(complete), **complete}
        except TypeError as error:
            raise ValueError(
                f"{values['architecture']} got options {given}; give one value per level as a list."
            ) from error
        return {**values, "options": complete}

    @model_validator(mode="after")
    def _sizes_make_sense(self) -> NetworkConfig:
        try:
            fits = len(spatial_divisor(self)) == self.spatial_dims
        except (TypeError, ValueError, KeyError):
            fits = False
        if not fits:
            raise ValueError(
                f"{self.architecture} got options {self.options} that do not give one size per "
                f"level and axis of a {self.spatial_dims}D network; check strides and sizes."
            )
        return self


def spatial_divisor(*configs: NetworkConfig) -> tuple[int, ...]:
    """Return what a window's sides must be multiples of, per axis, so that all `configs` take it.

    Parameters
    ----------
    configs
        Networks of the same `spatial_dims`.
    """
    each = [ARCHITECTURES[c.architecture].divisor(c.options, c.spatial_dims) for c in configs]
    return tuple(math.lcm(*axis) for axis in zip(*each, strict=True))


def fixed_window(config: NetworkConfig) -> tuple[int, ...] | None:
    """Return the only window size the network takes (UNETR's `img_size`), or None."""
    option = ARCHITECTURES[config.architecture].fixed_window
    return None if option is None else per_axis(config.options[option], config.spatial_dims)


def fit_patch_size(patch_size: Sequence[int], *configs: NetworkConfig) -> tuple[int, ...]:
    """Return the smallest window at least `patch_size` large that every network takes.

    A window that shrinks to a single voxel inside a network cannot be normalised there, so its
    last side is doubled.

    Raises
    ------
    PairProblem
        If two networks are bound to different window sizes, or the patch has not as many sides as
        the networks have axes.
    """
    for config in configs:
        if len(patch_size) != config.spatial_dims:
            raise PairProblem(
                f"The patch {tuple(patch_size)} has {len(patch_size)} sides, but "
                f"{config.architecture} has {config.spatial_dims} axes. Give one side for each."
            )
    fixed = {size for config in configs if (size := fixed_window(config)) is not None}
    if len(fixed) > 1:
        raise PairProblem(
            f"The networks take only windows of {' and of '.join(map(str, sorted(fixed)))} voxels; "
            "give both the same img_size."
        )
    if fixed:
        return fixed.pop()
    divisor = spatial_divisor(*configs)
    fitted = [math.ceil(max(p, 1) / d) * d for p, d in zip(patch_size, divisor, strict=True)]
    if all(side == d for side, d in zip(fitted, divisor, strict=True)):
        fitted[-1] *= 2
    return tuple(fitted)


def _known(architecture: str) -> Architecture:
    known = ARCHITECTURES.get(architecture)
    if known is None:
        raise ValueError(
            f"'{architecture}' is not a network that can be used; "
            f"use one of {', '.join(ARCHITECTURES)}."
        )
    return known


def _refuse_unknown(architecture: str, known: Architecture, options: dict[str, Any]) -> None:
    unknown = sorted(set(options) - known.options)
    if unknown:
        raise ValueError(
            f"{architecture} has no option {', '.join(map(repr, unknown))} here; "
            f"use one of {', '.join(sorted(known.options))}."
        )


def _plain(value: Any, name: object) -> Any:
    """Values as JSON has them, lists as tuples so that a card read back compares equal."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(part, name) for part in value)
    if isinstance(value, dict):
        return {str(key): _plain(part, name) for key, part in value.items()}
    raise ValueError(
        f"Option '{name}' is a {type(value).__name__}; give numbers, words, lists or mappings."
    )
