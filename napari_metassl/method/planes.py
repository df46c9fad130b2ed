"""Finished planes of class probabilities, reduced to label and confidence level as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from napari_metassl.method.confidence import confidence_to_level

PLANES_AT_ONCE = 8  # bounds what is held in floats on the volume's own, possibly finer grid


class PlaneFinisher:
    """Takes planes in order of z and fills label and level volumes on the volume's own grid.

    Both grids cover the same extent. Where they differ, probabilities (not labels) are interpolated
    linearly, in the plane and then between two planes, so that borders stay smooth.

    Parameters
    ----------
    networks
        Number of networks N.
    network_shape
        (Z, Y, X) of the grid the planes are on.
    output_shape
        (Z, Y, X) of the volume's own grid.

    Attributes
    ----------
    labels, levels
        (N, Z, Y, X) uint8 on the own grid; complete after the last plane was added.
    """

    def __init__(
        self, networks: int, network_shape: Sequence[int], output_shape: Sequence[int]
    ) -> None:
        self.labels: npt.NDArray[np.uint8] = np.zeros((networks, *output_shape), np.uint8)
        self.levels: npt.NDArray[np.uint8] = np.zeros((networks, *output_shape), np.uint8)
        self._plane_shape = tuple(output_shape[1:])
        self._keeps_planes = network_shape[0] == output_shape[0]
        self._below, self._above, self._fraction = _neighbours(network_shape[0], output_shape[0])
        self._written = 0
        self._held: Tensor | None = None  # planes of the network's grid still needed
        self._held_from = 0

    def add(self, probabilities: Tensor) -> None:
        """Take the next planes, (N, C, planes, Y, X) on the network's grid."""
        for planes in torch.split(probabilities, PLANES_AT_ONCE, dim=2):
            resized = self._in_plane(planes)
            if self._keeps_planes:
                self._write(resized)
            else:
                self._between_planes(resized)

    def _in_plane(self, planes: Tensor) -> Tensor:
        if tuple(planes.shape[-2:]) == self._plane_shape:
            return planes
        flat = planes.reshape(-1, 1, *planes.shape[-2:])
        resized = interpolate(flat, self._plane_shape, mode="bilinear", align_corners=False)
        return resized.reshape(*planes.shape[:3], *self._plane_shape)

    def _between_planes(self, planes: Tensor) -> None:
        if self._held is not None:
            planes = torch.cat([self._held.to(planes.device), planes], dim=2)
        received = self._held_from + planes.shape[2]
        stop = int(np.searchsorted(self._above, received))
        for first in range(self._written, stop, PLANES_AT_ONCE):
            chunk = slice(first, min(first + PLANES_AT_ONCE, stop))
            below = torch.from_numpy(self._below[chunk] - self._held_from).to(planes.device)
            above = torch.from_numpy(self._above[chunk] - self._held_from).to(planes.device)
            fraction = torch.from_numpy(self._fraction[chunk]).to(planes)[:, None, None]
            low, high = planes.index_select(2, below), planes.index_select(2, above)
            self._write(torch.lerp(low, high, fraction))
        needed = int(self._below[stop]) if stop < len(self._below) else received
        keep_from = min(max(needed, self._held_from), received)
        self._held = planes[:, :, keep_from - self._held_from :]
        self._held_from = keep_from

    def _write(self, probabilities: Tensor) -> None:
        confidence, label = probabilities.max(dim=1)
        place = slice(self._written, self._written + probabilities.shape[2])
        self.labels[:, place] = label.byte().cpu().numpy()
        self.levels[:, place] = confidence_to_level(confidence).cpu().numpy()
        self._written = place.stop


def _neighbours(
    planes: int, wanted: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each wanted plane: the given planes below and above its centre, and how far between."""
    centers = np.clip((np.arange(wanted) + 0.5) * planes / wanted - 0.5, 0, planes - 1)
    below = np.floor(centers).astype(np.int64)
    above = np.minimum(below + 1, planes - 1)
    return below, above, (centers - below).astype(np.float32)
