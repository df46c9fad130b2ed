"""Both networks of a pair over a whole volume, in one pass of overlapping windows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_metassl.errors import PairProblem
from napari_metassl.method.placing import Precision, first_placing
from napari_metassl.method.planes import PlaneFinisher
from napari_metassl.method.review_views import View, through_views
from napari_metassl.method.window_pass import Watch, WindowPass

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@torch.no_grad()
def predict_pair(  # noqa: PLR0913
    networks: Sequence[nn.Module],
    image: Floats,
    *,
    patch_size: Sequence[int],
    output_shape: Sequence[int] | None = None,
    views: Sequence[View] | None = None,
    overlap: float = 0.5,
    device: str | torch.device = "auto",
    precision: Precision = "auto",
    batch: int | None = None,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    notice: Callable[[str], None] | None = None,
) -> tuple[Bytes, Bytes]:
    """Predict one volume with all networks in one pass; windows of pure air are background.

    Parameters
    ----------
    networks
        Usually (supervised, reference), with the same classes; moved to the device to stay there.
    image
        (channels, Z, Y, X), normalised and on the networks' grid.
    patch_size, overlap
        Window: three sides, or two for 2D networks, which go through the volume slice by slice;
        part of it that neighbours share, at least 0 and below 1.
    output_shape
        (Z, Y, X) of the volume's own grid over the same extent; None for the image's grid.
    views
        What each network sees; None: all the plain image, without dropout.
    device, precision
        'auto': CUDA with 16-bit mixed precision where there is one, else the CPU in float32.
    batch
        Windows fed to the networks together; None chooses for the device.
    progress, cancelled, notice
        Told the finished part, 0..1; asked before every batch of windows, True stops; told in a
        sentence when a slower way is taken, for memory or precision (else a warning).

    Returns
    -------
    labels, levels : np.ndarray
        (networks, Z, Y, X) uint8; levels are those of `napari_metassl.method.confidence`.

    Raises
    ------
    Cancelled, PairProblem
        If `cancelled` said so; if image or window do not suit the networks, or they answer NaN.
    """
    patch = tuple(int(side) for side in patch_size)
    _check_sizes(image, patch, overlap)
    padded, crop = _pad_to_window(image, patch)
    placing = first_placing(device, precision, batch, dims=len(patch))
    finisher = PlaneFinisher(len(networks), image.shape[1:], output_shape or image.shape[1:])
    asked, shown = through_views(networks, padded, views)
    with _evaluating(networks, placing.device):
        watch = Watch(progress, cancelled, notice or _warn)
        windows = WindowPass(asked, shown, (patch, overlap), placing, watch, channels=len(image))
        for probabilities in windows.finished_planes():
            finisher.add(probabilities[:, :, crop[0], crop[1], crop[2]])
    return finisher.labels, finisher.levels


@contextmanager
def _evaluating(networks: Sequence[nn.Module], device: torch.device) -> Iterator[None]:
    """Networks on the device in evaluation mode; afterwards in the mode they were in."""
    modes = [(m, m.training) for network in networks for m in network.modules()]
    for network in networks:
        network.to(device).eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _check_sizes(image: Floats, patch: tuple[int, ...], overlap: float) -> None:
    if image.ndim != 4 or 0 in image.shape:
        raise PairProblem(
            f"The image has shape {image.shape}, expected (channels, Z, Y, X) with voxels in it. "
            "Prepare it with to_network_grid."
        )
    if len(patch) not in (2, 3) or min(patch) < 1:
        raise PairProblem(
            f"The window is {patch} voxels; give three sides for 3D networks, two for 2D ones."
        )
    if not 0 <= overlap < 1:
        raise PairProblem(f"The overlap of windows is {overlap}; give a number from 0 to below 1.")


def _pad_to_window(
    image: Floats, patch: tuple[int, ...]
) -> tuple[Floats, tuple[slice, slice, slice]]:
    """Surround a volume smaller than the window with air (each channel's smallest value)."""
    sides = (1, *patch)[-3:]
    shape = tuple(max(n, side) for n, side in zip(image.shape[1:], sides, strict=True))
    first = [(new - old) // 2 for new, old in zip(shape, image.shape[1:], strict=True)]
    z, y, x = (slice(at, at + n) for at, n in zip(first, image.shape[1:], strict=True))
    if shape == image.shape[1:]:
        return image, (z, y, x)
    padded = np.empty((len(image), *shape), np.float32)
    padded[:] = image.min(axis=(1, 2, 3), keepdims=True)
    padded[:, z, y, x] = image
    return padded, (z, y, x)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=2)
