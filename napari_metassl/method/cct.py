"""Cross-consistency training: an auxiliary decoder on perturbed features learns from the main one.

Works on any network whose features shrink to a bottleneck and grow again: which modules belong to
the encoder is read off one forward pass.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.losses import Link
from napari_metassl.method.strategy import Networks, Strategy
from napari_metassl.method.training_config import TrainingConfig


class CrossConsistencyTraining(Strategy):
    """CCT: main and auxiliary network share the encoder; the auxiliary one sees it perturbed.

    The features of every scale are perturbed by dropout, noise or feature drop, one of them at
    random for each scale and step. The main decoder learns from labels only (Ouali et al.,
    Semi-Supervised Semantic Segmentation with Cross-Consistency Training, CVPR 2020; there with
    several auxiliary decoders, a mean squared difference, and the innermost features perturbed).

    Raises
    ------
    MetaSSLError
        If the network has no encoder and decoder.
    """

    links = (Link(0, 1), Link(1, None))

    def __init__(self, networks: Networks, config: TrainingConfig) -> None:
        super().__init__()
        auxiliary, main = networks
        if main is None or main is auxiliary:
            main, auxiliary = auxiliary, copy.deepcopy(auxiliary)
            fresh = True
        else:
            fresh = False
        encoder, scales = find_encoder(main, config.patch_size)
        _share(encoder, main, auxiliary)
        if fresh:
            _reset(auxiliary, except_for=encoder)
        self.supervised, self.reference = auxiliary, main
        self._perturbing = False
        for name in scales:
            main.get_submodule(name).register_forward_hook(self._perturb)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Predict with perturbed features and the auxiliary decoder, then without."""
        self._perturbing = True
        try:
            auxiliary = self.supervised(image)
        finally:
            self._perturbing = False
        return auxiliary, self.reference(image)

    def _perturb(self, module: nn.Module, given: Any, features: Tensor) -> Tensor:
        if not self._perturbing:
            return features
        kind = PERTURBATIONS[int(torch.randint(len(PERTURBATIONS), ()))]
        return kind(features)


def drop_features(features: Tensor, rate: float = 0.3) -> Tensor:
    """Dropout of whole channels of (B, channels, *spatial); what is kept is divided by 1 - rate."""
    kept = torch.rand(features.shape[:2], device=features.device) >= rate
    return features * kept.view(*kept.shape, *[1] * (features.ndim - 2)) / (1.0 - rate)


def noisy_features(features: Tensor, strength: float = 0.3) -> Tensor:
    """F-Noise: multiply every feature by 1 + n, with n uniform in -strength..strength.

    CCT of Ouali et al. 2020, whose strength is 0.3 too.
    """
    noise = torch.rand_like(features).mul_(2.0 * strength).sub_(strength)
    return features * (1.0 + noise)


def without_strongest(features: Tensor) -> Tensor:
    """F-Drop: remove the places of (B, channels, *spatial) with the strongest mean activation.

    Those at least 0.7 to 0.9 (drawn anew each time) of the item's largest; CCT of Ouali et al.
    2020.
    """
    strength = features.detach().mean(dim=1, keepdim=True)
    largest = strength.amax(dim=tuple(range(1, features.ndim)), keepdim=True)
    share = torch.empty(1, device=features.device).uniform_(0.7, 0.9)
    return features * (strength < largest * share)


PERTURBATIONS = (drop_features, noisy_features, without_strongest)
"""One of them is drawn for every scale and step."""


def find_encoder(network: nn.Module, patch_size: Sequence[int]) -> tuple[list[str], list[str]]:
    """Names of the encoder's innermost modules, and of the last one at every scale.

    The encoder is what a forward pass runs through up to the smallest feature map.

    Parameters
    ----------
    network
        Left as it was; it sees one image of zeros, in evaluation mode.
    patch_size
        (z, y, x) or (y, x) of that image.

    Raises
    ------
    MetaSSLError
        If the feature maps do not shrink and grow again.
    """
    seen = _run_and_watch(network, patch_size)
    smallest = min(size for _, size in seen)
    turn = max(i for i, (_, size) in enumerate(seen) if size == smallest)
    if turn == len(seen) - 1 or smallest == math.prod(patch_size):
        raise MetaSSLError(
            "Cross-consistency training got a network whose features do not shrink and grow "
            "again, expected an encoder and a decoder. Choose a U-shaped network."
        )
    last_at_scale = {size: name for name, size in seen[: turn + 1]}
    return list(dict.fromkeys(name for name, _ in seen[: turn + 1])), list(last_at_scale.values())


def _run_and_watch(network: nn.Module, patch_size: Sequence[int]) -> list[tuple[str, int]]:
    """Innermost modules in the order they run, with the voxels of their feature map."""
    seen: list[tuple[str, int]] = []
    spatial = len(patch_size)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == spatial + 2:
                seen.append((name, output[0, 0].numel()))

        return hook

    leaves = [(n, m) for n, m in network.named_modules() if not list(m.children())]
    hooks = [module.register_forward_hook(watch(name)) for name, module in leaves]
    was_training = network.training
    try:
        weight = next(p for p in network.parameters() if p.ndim == spatial + 2)
        image = torch.zeros((1, weight.shape[1], *patch_size), device=weight.device)
        with torch.no_grad():
            network.eval()(image)
    finally:
        network.train(was_training)
        for one in hooks:
            one.remove()
    return seen


def _share(names: Sequence[str], source: nn.Module, target: nn.Module) -> None:
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(target.get_submodule(parent), last, source.get_submodule(name))


def _reset(network: nn.Module, except_for: Sequence[str]) -> None:
    """Give the decoder weights of its own, so that two decoders do not start equal."""
    for name, module in network.named_modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None and name not in except_for:
            reset()
