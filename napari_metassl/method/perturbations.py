"""What strategies do to a batch where it lies: noise, strong views, CutMix; no voxel moves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_metassl.method.batch import Batch


def add_noise(image: Tensor, strength: float = 0.1) -> Tensor:
    """Gaussian noise of ``strength`` standard deviations of each item, cut at two of them.

    Parameters
    ----------
    image
        (B, channels, *spatial).
    strength
        Standard deviation of the noise, in standard deviations of each item and channel.

    Returns
    -------
    Tensor
        A new image of the same shape.
    """
    noise = torch.randn_like(image).mul_(strength).clamp_(-2.0 * strength, 2.0 * strength)
    return image + noise.mul_(_spread(image))


def change_strongly(image: Tensor, strength: float = 0.3, noisy: float = 0.8) -> Tensor:
    """Return the strong view of FixMatch: contrast, brightness, a gamma-like curve and noise.

    Parameters
    ----------
    image
        (B, channels, *spatial).
    strength
        Largest relative change of contrast and of the curve's bend; largest shift and noise in
        standard deviations.
    noisy
        Part of the items that receive noise.

    Returns
    -------
    Tensor
        A new image of the same shape; every voxel is where it was.
    """
    spread = _spread(image)
    center = image.mean(dim=tuple(range(2, image.ndim)), keepdim=True)
    contrast = 1.0 + strength * _uniform(spread.shape, image)
    shift = strength * _uniform(spread.shape, image) * spread
    changed = (image - center) * contrast + (center + shift)
    chosen = torch.nonzero(torch.rand(len(image), device=image.device) < noisy).flatten()
    if len(chosen):
        changed[chosen] = add_noise(changed[chosen], strength)
    bend = strength * _uniform(spread.shape, image)
    return changed + bend * torch.tanh(changed / spread.clamp_min(1e-6)) * spread


def cut_mix(batch: Batch, largest: float = 0.5) -> Batch:
    """Exchange one box, up to ``largest`` of every side, between neighbours of the batch.

    Image, labels and masks move together, so every voxel keeps what is known of it (Yun et al.,
    CutMix, ICCV 2019; there the labels of whole images are mixed). A batch of one is left as it
    is.
    """
    if len(batch.image) < 2:
        return batch
    sides = torch.rand(batch.label.ndim - 1) * largest
    starts = torch.rand(batch.label.ndim - 1) * (1.0 - sides)
    corners = zip(starts.tolist(), sides.tolist(), batch.label.shape[1:], strict=True)
    box: Any = (..., *(slice(int(a * n), int((a + side) * n)) for a, side, n in corners))

    def exchange(tensor: Tensor) -> Tensor:
        mixed = tensor.clone()
        mixed[box] = tensor.roll(1, dims=0)[box]
        return mixed

    return batch.map(exchange)


def _spread(image: Tensor) -> Tensor:
    """Return the standard deviation of every item and channel, (B, channels, 1...)."""
    return image.std(dim=tuple(range(2, image.ndim)), keepdim=True)


def _uniform(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.rand(shape, device=like.device, dtype=like.dtype) * 2.0 - 1.0
