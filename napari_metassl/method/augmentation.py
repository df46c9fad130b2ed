"""Random changes of a training patch, by MONAI's transforms: mirrored, brighter, noisier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import (
    RandGaussianNoised,
    RandScaleIntensityFixedMeand,
    RandStdShiftIntensityd,
)
from monai.transforms.spatial.dictionary import RandFlipd
from torch import Tensor

from napari_metassl.method.training_config import TrainingConfig

IMAGE = "image"
PARTS = (IMAGE, "label", "corrected", "valid")
"""Names of what a patch consists of, in the order of :class:`Batch`."""


class Augmentation:
    """Flips along the allowed axes; contrast, brightness and noise of the image.

    Contrast changes by up to 10 % around the channel's mean, brightness by up to a tenth of its
    standard deviation; three patches of ten receive noise of up to 0.1 (normalised images have a
    standard deviation near 1).
    """

    def __init__(self, config: TrainingConfig) -> None:
        dims = config.spatial_dims
        axes = range(dims) if config.flip_axes is None else config.flip_axes
        # a patch has three axes always; a slice is one voxel deep
        steps: list[Any] = [
            RandFlipd(PARTS, prob=0.5, spatial_axis=axis + 3 - dims) for axis in axes
        ]
        if config.intensity_changes:
            steps += [
                RandScaleIntensityFixedMeand(IMAGE, factors=0.1, prob=1.0, channel_wise=True),
                RandStdShiftIntensityd(IMAGE, factors=0.1, prob=1.0, channel_wise=True),
                RandGaussianNoised(IMAGE, std=0.1, prob=0.3),
            ]
        self._steps = Compose(steps)
        self._random = np.random.RandomState()
        for step in steps:
            step.set_random_state(state=self._random)

    def __call__(
        self, parts: list[npt.NDArray[np.generic]], rng: np.random.Generator
    ) -> list[Tensor]:
        """Change image (channels, z, y, x) and, alike in space, label and masks (1, z, y, x).

        Parameters
        ----------
        parts
            In the order of ``PARTS``.
        rng
            One number drawn from it decides all changes.
        """
        self._random.seed(int(rng.integers(2**31)))
        with _plain_tensors():
            changed = self._steps(dict(zip(PARTS, map(torch.from_numpy, parts), strict=True)))
        return [changed[part] for part in PARTS]


@contextmanager
def _plain_tensors() -> Iterator[None]:
    """Keep MONAI from recording what it did in every tensor: that takes longer than doing it."""
    before = get_track_meta()
    set_track_meta(False)
    try:
        yield
    finally:
        set_track_meta(before)
