"""Patches of the training volumes, drawn so that foreground and corrections stay in view.

What a step draws depends on the seed and the number of the step alone. So a run that is resumed
draws what it would have drawn, and the next batch can be made while the present one is learned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.augmentation import Augmentation
from napari_metassl.method.batch import Batch
from napari_metassl.method.training_config import TrainingConfig
from napari_metassl.method.training_volume import NO_LABEL, TrainingVolume

CENTERS_KEPT = 8192
"""Voxels remembered per class and volume as possible centres."""


class PatchSource:
    """One cached volume with the voxels that patches may be centred on.

    Parameters
    ----------
    volume
        Kept as it is given (float32 or float16), not copied.
    patch
        (z, y, x) voxels.
    rng
        Chooses the centres that are remembered.

    Attributes
    ----------
    air
        (channels, 1, 1, 1), smallest intensity of every channel: what padding is filled with.
    centers
        Flat indices of voxels worth a patch, one array per class; empty without labels.
    """

    def __init__(
        self, volume: TrainingVolume, patch: tuple[int, ...], rng: np.random.Generator
    ) -> None:
        self.volume = volume
        self.patch = patch
        self.air = volume.image.min(axis=(1, 2, 3), keepdims=True)
        self.centers = _centers(volume, rng)

    @property
    def must_center(self) -> bool:
        """Whether a patch somewhere might show no labeled voxel at all."""
        return self.volume.has_labels and not self.volume.is_fully_labeled

    def random_start(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """First voxel of a patch anywhere in the volume; negative where the volume is smaller."""
        free = np.array(self.volume.spatial_shape) - self.patch
        return np.where(free > 0, rng.integers(0, np.maximum(free, 0) + 1), free // 2)

    def centered_start(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """First voxel of a patch around a remembered voxel of a random class."""
        if not self.centers:
            return self.random_start(rng)
        voxels = self.centers[rng.integers(len(self.centers))]
        center = np.array(
            np.unravel_index(voxels[rng.integers(len(voxels))], self.volume.spatial_shape)
        )
        quarter = np.array(self.patch) // 4
        start = center - np.array(self.patch) // 2 + rng.integers(-quarter, quarter + 1)
        free = np.array(self.volume.spatial_shape) - self.patch
        return np.where(free > 0, np.clip(start, 0, np.maximum(free, 0)), free // 2)

    def cut(self, start: npt.NDArray[np.int64]) -> list[npt.NDArray[np.generic]]:
        """Image (channels, z, y, x), label, corrected and valid (1, z, y, x) of one patch."""
        stop = start + self.patch
        shape = self.volume.spatial_shape
        inside = tuple(
            slice(max(a, 0), min(b, n)) for a, b, n in zip(start, stop, shape, strict=True)
        )
        target = tuple(slice(s.start - a, s.stop - a) for s, a in zip(inside, start, strict=True))
        image = np.empty((len(self.volume.image), *self.patch), np.float32)
        image[...] = self.air
        image[(slice(None), *target)] = self.volume.image[(slice(None), *inside)]
        label = np.full(self.patch, NO_LABEL, np.int16)
        corrected, valid = np.zeros(self.patch, bool), np.zeros(self.patch, bool)
        valid[target] = True
        if self.volume.label is not None:
            label[target] = self.volume.label[inside]
            if self.volume.corrected is not None:
                corrected[target] = self.volume.corrected[inside]
        return [image, label[None], corrected[None], valid[None]]


class PatchSampler:
    """Draws the batch of any step: labeled items first, then unlabeled ones.

    Parameters
    ----------
    volumes
        All training volumes; what each is used for follows from its labels.
    config
        Patch size, batch and shares.
    rank
        Number of this process among several, which draw different patches.

    Attributes
    ----------
    full, partly, unlabeled
        Fully and sparsely labeled volumes, and those with unlabeled voxels: ``partly`` ones are
        among these too.

    Raises
    ------
    MetaSSLError
        If no volume has a labeled voxel.
    """

    def __init__(
        self, volumes: Sequence[TrainingVolume], config: TrainingConfig, rank: int = 0
    ) -> None:
        self.config = config
        self.rank = rank
        self._augment = Augmentation(config)
        patch = config.patch_size if config.spatial_dims == 3 else (1, *config.patch_size)
        rng = np.random.default_rng([config.seed, rank])
        sources = [PatchSource(volume, patch, rng) for volume in volumes]
        labeled = [source for source in sources if source.volume.has_labels]
        if not labeled:
            raise MetaSSLError(
                f"None of the {len(volumes)} training volumes has a labeled voxel, expected at "
                "least one. Label a volume or correct some voxels first."
            )
        self.full = [source for source in labeled if not source.must_center]
        self.partly = [source for source in labeled if source.must_center]
        self.unlabeled = [source for source in sources if not source.volume.is_fully_labeled]

    def batch(self, step: int) -> Batch:
        """Draw the batch of a step (0-based), on the CPU."""
        rng = np.random.default_rng([self.config.seed, self.rank, step])
        items = [self._labeled_item(rng, n) for n in range(self.config.batch_labeled)]
        if self.unlabeled and self.config.unlabeled_loss != "none":
            items += [self._unlabeled_item(rng) for _ in range(self.config.batch_unlabeled)]
        image, *known = (torch.stack(parts) for parts in zip(*items, strict=True))
        label, corrected, valid = (part.squeeze(1) for part in known)
        batch = Batch(image, label, corrected, valid)
        return batch if self.config.spatial_dims == 3 else batch.map(lambda part: part.squeeze(-3))

    def _labeled_item(self, rng: np.random.Generator, n: int) -> list[Tensor]:
        """Draw the n-th labeled item; the first of several is fully labeled where any volume is.

        A batch of corrections alone would make a region's mean out of a few contradicted voxels.
        """
        share = self.config.corrected_share if self.full else 1.0
        anchor = n == 0 and self.full and self.config.batch_labeled > 1
        if self.partly and not anchor and rng.random() < share:
            source = self.partly[rng.integers(len(self.partly))]
            start = source.centered_start(rng)
        else:
            source = self.full[rng.integers(len(self.full))]
            around = rng.random() < self.config.foreground_share
            start = source.centered_start(rng) if around else source.random_start(rng)
        return self._augment(source.cut(start), rng)

    def _unlabeled_item(self, rng: np.random.Generator) -> list[Tensor]:
        """Draw anywhere; what happens to be corrected there counts as corrected."""
        source = self.unlabeled[rng.integers(len(self.unlabeled))]
        return self._augment(source.cut(source.random_start(rng)), rng)


def _centers(volume: TrainingVolume, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Flat indices worth a patch, one array per class: corrected, else foreground voxels."""
    if volume.label is None:
        return []
    label = volume.label
    if volume.corrected is not None and volume.corrected.any():
        candidates = volume.corrected & (label != NO_LABEL)
    elif volume.is_fully_labeled:
        candidates = label > 0
    else:
        candidates = label != NO_LABEL
    flat = np.flatnonzero(candidates)
    classes = label.reshape(-1)[flat]
    found = [flat[classes == k] for k in np.unique(classes)]
    return [
        rng.choice(voxels, CENTERS_KEPT, replace=False) if len(voxels) > CENTERS_KEPT else voxels
        for voxels in found
    ]
