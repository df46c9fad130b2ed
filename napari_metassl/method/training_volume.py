"""One volume as the trainer takes it: image, what is known of its labels, what was corrected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_metassl.errors import MetaSSLError

NO_LABEL = -1
"""Value of a voxel in ``TrainingVolume.label`` that nobody labeled."""


@dataclass(frozen=True, eq=False)
class TrainingVolume:
    """A volume on the pair's own grid, normalised, with the labels there are.

    Attributes
    ----------
    name
        As the person knows it; used in messages.
    image
        (channels, Z, Y, X) float.
    label
        (Z, Y, X) int, -1 where there is no label; None without any label.
    corrected
        (Z, Y, X) bool, the voxels a person confirmed or changed; None without corrections.
        They are labeled voxels that are never down-weighted.

    Raises
    ------
    MetaSSLError
        If the shapes do not fit, or voxels are corrected where there are no labels.
    """

    name: str
    image: npt.NDArray[np.floating]
    label: npt.NDArray[np.integer] | None = None
    corrected: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 4:
            raise MetaSSLError(
                f"Image of '{self.name}' has shape {self.image.shape}, expected "
                "(channels, Z, Y, X). Add the channel axis with image[None]."
            )
        for what, array in (("Labels", self.label), ("Corrections", self.corrected)):
            if array is not None and array.shape != self.spatial_shape:
                raise MetaSSLError(
                    f"{what} of '{self.name}' have shape {array.shape} but the image has "
                    f"{self.spatial_shape}. Bring both to the same grid first."
                )
        if self.corrected is not None and self.label is None and self.corrected.any():
            raise MetaSSLError(
                f"'{self.name}' has corrected voxels but no labels. Give the labels of the "
                "corrected voxels, -1 elsewhere."
            )

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """(Z, Y, X)."""
        return self.image.shape[1:]

    @property
    def has_labels(self) -> bool:
        """Whether any voxel is labeled."""
        return self.label is not None and bool((self.label != NO_LABEL).any())

    @property
    def is_fully_labeled(self) -> bool:
        """Whether every voxel is labeled."""
        return self.label is not None and bool((self.label != NO_LABEL).all())

    def check(self, classes: int, channels: int) -> None:
        """Raise when the image or the labels do not fit networks of these channels, classes.

        Raises
        ------
        MetaSSLError
            If there are other channels, intensities that are not finite, or labels outside
            -1..classes - 1.
        """
        if self.image.shape[0] != channels:
            raise MetaSSLError(
                f"'{self.name}' has {self.image.shape[0]} channel(s) but the networks take "
                f"{channels}. Give each volume as many channels as the pair was made for."
            )
        if not np.isfinite(self.image).all():
            raise MetaSSLError(
                f"Image of '{self.name}' holds NaN or infinite values, expected finite ones. "
                "Replace them before training."
            )
        if self.label is None:
            return
        low, high = int(self.label.min()), int(self.label.max())
        if low < NO_LABEL or high >= classes:
            raise MetaSSLError(
                f"Labels of '{self.name}' reach from {low} to {high}, expected -1 (no label) to "
                f"{classes - 1}. Give the pair more classes or change the labels."
            )
