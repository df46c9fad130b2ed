"""Networks made from their configuration; every one answers with `(B, C, *spatial)` logits."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from monai.networks import nets
from torch import Tensor, nn

from napari_metassl.errors import PairProblem
from napari_metassl.method.network_config import NetworkConfig


class _BasicUNetPlusPlus(nets.BasicUNetPlusPlus):
    """BasicUNetPlusPlus that returns its last output instead of a list with it."""

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, in_channels, *spatial) to logits (B, C, *spatial)."""
        outputs: list[Tensor] = super().forward(x)
        return outputs[-1]


_UNIFIED = {"BasicUNetPlusPlus": _BasicUNetPlusPlus}


def build_network(config: NetworkConfig, seed: int | None = None) -> nn.Module:
    """Build the network that `config` describes, on the CPU, with random weights.

    Parameters
    ----------
    config
        Architecture and options.
    seed
        Makes the weights reproducible; the global random state is left as it was.

    Returns
    -------
    nn.Module
        Maps images (B, in_channels, *spatial) to logits (B, classes, *spatial).

    Raises
    ------
    PairProblem
        If the class refuses the options.
    """
    constructor = constructor_of(config.architecture)
    arguments = {**config.options, **_common_arguments(config)}
    try:
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed CUDA
            network: nn.Module = constructor(**arguments)
    except (ValueError, TypeError, KeyError, IndexError, AssertionError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PairProblem(
            f"{config.architecture} with {config.in_channels} channels and options "
            f"{config.options} cannot be built ({reason}). Change the options."
        ) from error
    return network


def constructor_of(architecture: str) -> Any:
    """Return the class that builds an allow-listed architecture."""
    return _UNIFIED.get(architecture) or getattr(nets, architecture)


def constructor_defaults(architecture: str) -> dict[str, Any]:
    """Return MONAI's own defaults of the constructor's optional arguments."""
    parameters = inspect.signature(constructor_of(architecture)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _common_arguments(config: NetworkConfig) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "spatial_dims": config.spatial_dims,
        "in_channels": config.in_channels,
        "out_channels": config.classes,
    }
    if config.architecture == "VNet":
        arguments["dropout_dim"] = config.spatial_dims
    return arguments
