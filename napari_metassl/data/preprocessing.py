"""From a volume to what the networks take: normalised intensities on the grid they were trained at.

Resampling keeps the field of view: the new grid has a whole number of voxels over the same extent,
so its spacing may differ from the card's by less than a voxel in the whole length. Voxel centres
stay where they are in the world, and the way back (`napari_metassl.method.inference`) is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_metassl.data.geometry import Geometry, resampled_shape
from napari_metassl.data.model_card import ModelCard, Normalisation
from napari_metassl.data.volume import Volume
from napari_metassl.errors import PairProblem

Shape = tuple[int, int, int]
Floats = npt.NDArray[np.float32]

PERCENTILE_SAMPLE = 4_000_000  # voxels; a percentile of more would only take longer


def network_grid_shape(shape: Sequence[int], spacing: Sequence[float], card: ModelCard) -> Shape:
    """Return the (Z, Y, X) of the card's grid over a volume of `shape` voxels.

    Parameters
    ----------
    shape
        (Z, Y, X) of the volume.
    spacing
        Its voxel size (dz, dy, dx) in mm.
    card
        Its `spacing` is aimed at; None keeps the volume's grid, and a 2D pair keeps its slices.
    """
    return resampled_shape(shape, spacing, _wanted_spacing(spacing, card))


def network_spacing(geometry: Geometry, shape: Sequence[int], card: ModelCard) -> tuple[float, ...]:
    """Return the exact voxel size (dz, dy, dx) in mm of the card's grid over this volume."""
    grid = network_grid_shape(shape, geometry.spacing, card)
    return tuple(s * n / g for s, n, g in zip(geometry.spacing, shape, grid, strict=True))


def to_network_grid(volumes: Sequence[Volume], card: ModelCard) -> Floats:
    """Normalise each channel and bring it to the card's spacing.

    Parameters
    ----------
    volumes
        One per image channel, on the same grid.
    card
        Normalisation, spacing and number of channels.

    Returns
    -------
    np.ndarray
        (channels, Z, Y, X) float32.

    Raises
    ------
    PairProblem
        If there are not as many channels as the networks take, or they lie on different grids.
    """
    _check_channels(volumes, card)
    shape = volumes[0].shape
    grid = network_grid_shape(shape, volumes[0].geometry.spacing, card)
    image = np.empty((len(volumes), *shape), dtype=np.float32)
    for channel, volume in zip(image, volumes, strict=True):
        _normalise(volume.data, card.normalisation, channel)
    return image if grid == shape else resample_image(image, grid)


def labels_to_network_grid(
    labels: npt.NDArray[Any], geometry: Geometry, card: ModelCard
) -> npt.NDArray[Any]:
    """Bring labels, or a mask, to the card's spacing: each voxel takes its nearest one's value.

    Parameters
    ----------
    labels
        (Z, Y, X) of any dtype; values such as -1 (no label) are kept.
    geometry
        Where the labels are.
    card
        Its spacing is aimed at.

    Returns
    -------
    np.ndarray
        Of the shape `to_network_grid` gives, same dtype; `labels` itself if that is their grid.
    """
    shape = labels.shape
    grid = network_grid_shape(shape, geometry.spacing, card)
    for axis, (old, new) in enumerate(zip(shape, grid, strict=True)):
        if old != new:
            nearest = ((np.arange(new) + 0.5) * old / new).astype(np.intp)
            labels = labels.take(nearest, axis=axis)
    return labels


def resample_image(image: Floats, shape: Shape) -> Floats:
    """Resample (channels, Z, Y, X) to another (Z, Y, X) over the same extent.

    Linear, and averaging over all voxels covered where the grid becomes coarser.
    """
    import torch
    from torch.nn.functional import interpolate

    channels = []
    for channel in torch.from_numpy(image):  # in-plane, slices as a batch; then along z
        plane = interpolate(
            channel[:, None], shape[1:], mode="bilinear", align_corners=False, antialias=True
        )
        column = plane.reshape(1, 1, image.shape[1], -1)
        size = (shape[0], column.shape[-1])
        column = interpolate(column, size, mode="bilinear", align_corners=False, antialias=True)
        channels.append(column.reshape(shape))
    resampled: Floats = torch.stack(channels).numpy()
    return resampled


def _wanted_spacing(spacing: Sequence[float], card: ModelCard) -> tuple[float, ...]:
    if card.spacing is None:
        return tuple(spacing)
    if card.supervised.spatial_dims == 2:
        return (spacing[0], *card.spacing[1:])
    return card.spacing


def _check_channels(volumes: Sequence[Volume], card: ModelCard) -> None:
    expected = card.supervised.in_channels
    if len(volumes) != expected:
        names = ", ".join(volume.name for volume in volumes) or "none"
        raise PairProblem(
            f"Pair '{card.name}' takes {expected} image channel(s) but {len(volumes)} were given "
            f"({names}). Give one volume per channel, or choose another pair."
        )
    first = volumes[0]
    for volume in volumes[1:]:
        if volume.shape != first.shape:
            raise PairProblem(
                f"Channel '{volume.name}' has shape {volume.shape} but '{first.name}' has "
                f"{first.shape}. Resample the channels to one grid first."
            )
        gap = first.geometry.difference(volume.geometry)
        if gap is not None:
            raise PairProblem(
                f"Channel '{volume.name}' lies on another grid than '{first.name}' ({gap}). "
                "Resample the channels to one grid first."
            )


def _normalise(data: npt.NDArray[Any], how: Normalisation, out: Floats) -> None:
    """Write the normalised intensities of one channel (Z, Y, X) to `out`."""
    np.copyto(out, data, casting="unsafe")
    if not np.isfinite(out.min() + out.max()):
        _fill_unknown(out)
    if how.kind == "none":
        return
    low, scale = _offset_and_scale(out, how)
    out -= np.float32(low)
    out *= np.float32(scale)
    if how.kind != "zscore":
        np.clip(out, 0, 1, out=out)


def _fill_unknown(image: Floats) -> None:
    """Voxels that are NaN or infinite become the smallest known intensity, as air has."""
    known = np.isfinite(image)
    image[~known] = image[known].min() if known.any() else 0


def _offset_and_scale(image: Floats, how: Normalisation) -> tuple[float, float]:
    if how.kind == "window":
        low, high = float(how.low or 0), float(how.high or 0)
        return low, 1 / (high - low)
    body = image[image > image.min()]
    if not body.size:  # one value everywhere
        return float(image.flat[0]), 1.0
    if how.kind == "zscore":
        deviation = float(body.std(dtype=np.float64))
        return float(body.mean(dtype=np.float64)), 1 / deviation if deviation > 0 else 1.0
    body = body[:: -(-body.size // PERCENTILE_SAMPLE)]
    low, high = (float(bound) for bound in np.percentile(body, how.percentiles))
    return low, 1 / (high - low) if high > low else 1.0
