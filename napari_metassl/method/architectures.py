"""The MONAI segmentation networks a pair may be made of, as facts: options, sizes, dimensions.

This is an allow-list: a card or a bundle can only name what stands here, and only with these
options, so nothing from a file is ever imported or called. torch is not imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Architecture:
    """One MONAI network class: how `NetworkConfig` maps to it and which sizes it takes.

    Attributes
    ----------
    options
        Names of the constructor options that may be set.
    defaults
        Small settings used where an option is not given (MONAI's own hold for all others).
    divisor
        (options, spatial_dims) -> what a window's side must be a multiple of, per axis.
    derived
        options given -> options that follow from them, such as one stride per level.
    fixed_window
        Name of the option that fixes the window size once and for all, if there is one.
    """

    options: frozenset[str]
    defaults: Options
    divisor: Callable[[Options, int], tuple[int, ...]]
    derived: Callable[[Options], Options] = field(default=lambda options: {})
    fixed_window: str | None = None


def per_axis(value: Any, spatial_dims: int) -> tuple[int, ...]:
    """`value`, a number or one number per axis, as one integer per axis."""
    if isinstance(value, Sequence):
        return tuple(int(part) for part in value)
    return (int(value),) * spatial_dims


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _product_of_strides(options: Options, spatial_dims: int) -> tuple[int, ...]:
    levels = [per_axis(stride, spatial_dims) for stride in options["strides"]]
    return tuple(math.prod(axis) for axis in zip(*levels, strict=True))


def _halved_between(option: str, plus: int = -1) -> Callable[[Options, int], tuple[int, ...]]:
    def divisor(options: Options, spatial_dims: int) -> tuple[int, ...]:
        return (2 ** (len(options[option]) + plus),) * spatial_dims

    return divisor


def _always(value: int) -> Callable[[Options, int], tuple[int, ...]]:
    return lambda options, spatial_dims: (value,) * spatial_dims


def _strides_of_channels(options: Options) -> Options:
    if "channels" not in options or "strides" in options:
        return {}
    return {"strides": (2,) * (len(options["channels"]) - 1)}


def _levels_of_dynunet(options: Options) -> Options:
    """DynUNet wants a kernel size and a stride per level and repeats the strides on the way up."""
    known = dict(options)
    levels = len(known.get("strides", known.get("kernel_size", known.get("filters", (0,) * 4))))
    known.setdefault("strides", (1,) + (2,) * (levels - 1))
    known.setdefault("kernel_size", (3,) * levels)
    known.setdefault("upsample_kernel_size", tuple(known["strides"][1:]))
    known.setdefault("filters", tuple(min(16 * 2**level, 320) for level in range(levels)))
    return known


def _one_block_up_per_level(options: Options) -> Options:
    if "blocks_down" not in options or "blocks_up" in options:
        return {}
    return {"blocks_up": (1,) * (len(options["blocks_down"]) - 1)}


def _blocks_up_like_down(options: Options) -> Options:
    if "blocks_down" not in options or "blocks_up" in options:
        return {}
    return {"blocks_up": tuple(reversed(options["blocks_down"]))}


_UNET = _names("channels strides kernel_size up_kernel_size dropout")
_BASIC = _names("features act norm bias dropout upsample")
_SMALL_CHANNELS = {"channels": (16, 32, 64, 128), "strides": (2, 2, 2)}
_SMALL_FEATURES = {"features": (16, 16, 32, 64, 128, 16)}

ARCHITECTURES: dict[str, Architecture] = {
    "UNet": Architecture(
        options=_UNET | {"num_res_units", "act", "norm", "bias", "adn_ordering"},
        defaults=_SMALL_CHANNELS,
        divisor=_product_of_strides,
        derived=_strides_of_channels,
    ),
    "BasicUNet": Architecture(options=_BASIC, defaults=_SMALL_FEATURES, divisor=_always(16)),
    "BasicUNetPlusPlus": Architecture(
        options=_BASIC, defaults=_SMALL_FEATURES, divisor=_always(16)
    ),
    "DynUNet": Architecture(
        options=_names(
            "kernel_size strides upsample_kernel_size filters dropout norm_name act_name "
            "res_block trans_bias"
        ),
        defaults={},
        divisor=_product_of_strides,
        derived=_levels_of_dynunet,
    ),
    "SegResNet": Architecture(
        options=_names(
            "init_filters dropout_prob act norm num_groups use_conv_final blocks_down blocks_up "
            "upsample_mode"
        ),
        defaults={"init_filters": 8, "blocks_down": (1, 2, 2, 4)},
        divisor=_halved_between("blocks_down"),
        derived=_one_block_up_per_level,
    ),
    "SegResNetDS": Architecture(
        options=_names("init_filters act norm blocks_down blocks_up upsample_mode resolution"),
        defaults={"init_filters": 8, "norm": "instance", "blocks_down": (1, 2, 2, 4)},
        divisor=_halved_between("blocks_down"),
    ),
    "VNet": Architecture(
        options=_names("act dropout_prob_down dropout_prob_up bias"),
        defaults={},
        divisor=_always(16),
    ),
    "AttentionUnet": Architecture(
        options=_UNET,
        defaults=_SMALL_CHANNELS,
        divisor=_product_of_strides,
        derived=_strides_of_channels,
    ),
    "SwinUNETR": Architecture(
        options=_names(
            "patch_size depths num_heads window_size qkv_bias mlp_ratio feature_size norm_name "
            "drop_rate attn_drop_rate dropout_path_rate normalize patch_norm use_checkpoint "
            "downsample use_v2"
        ),
        defaults={"feature_size": 12, "patch_size": 2},
        divisor=lambda options, spatial_dims: (int(options["patch_size"]) ** 5,) * spatial_dims,
    ),
    "UNETR": Architecture(
        options=_names(
            "img_size feature_size hidden_size mlp_dim num_heads proj_type norm_name conv_block "
            "res_block dropout_rate qkv_bias"
        ),
        defaults={
            "img_size": 64,
            "feature_size": 16,
            "hidden_size": 192,
            "mlp_dim": 768,
            "num_heads": 4,
        },
        divisor=_always(16),
        fixed_window="img_size",
    ),
    "FlexibleUNet": Architecture(
        options=_names(
            "backbone decoder_channels norm act dropout decoder_bias upsample pre_conv interp_mode "
            "is_pad"
        ),
        defaults={"backbone": "efficientnet-b0", "decoder_channels": (128, 64, 32, 16, 8)},
        divisor=_always(32),
    ),
    "MedNeXt": Architecture(
        options=_names(
            "init_filters encoder_expansion_ratio decoder_expansion_ratio "
            "bottleneck_expansion_ratio kernel_size use_residual_connection blocks_down "
            "blocks_bottleneck blocks_up norm_type global_resp_norm"
        ),
        defaults={"init_filters": 8, "kernel_size": 3, "blocks_down": (2, 2, 2, 2)},
        divisor=_halved_between("blocks_down", plus=0),
        derived=_blocks_up_like_down,
    ),
    "HighResNet": Architecture(
        options=_names("norm_type acti_type dropout_prob bias channel_matching"),
        defaults={},
        divisor=_always(1),
    ),
}
