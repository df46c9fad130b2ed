"""A volume in memory: voxels in canonical orientation and their place in the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_metassl.data.geometry import Array, Geometry, Shape


@dataclass(frozen=True, eq=False)
class Volume:
    """One image or label map.

    Parameters
    ----------
    name
        The file's stem.
    data
        (Z, Y, X) voxels; canonical orientation (superior, posterior, left), C-contiguous.
    geometry
        Place in the world (mm) and the way back to the file.
    """

    name: str
    data: Array
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.data.ndim != 3:
            raise ValueError(
                f"Volume '{self.name}' has {self.data.ndim} dimensions, expected 3 (Z, Y, X). "
                "Give one channel or time point at a time."
            )
        if self.geometry.shape is not None and self.geometry.shape != self.data.shape:
            raise ValueError(
                f"Volume '{self.name}' has shape {self.data.shape} but its geometry describes "
                f"{self.geometry.shape}. Give the geometry of the grid the voxels are on."
            )

    @property
    def shape(self) -> Shape:
        """(Z, Y, X)."""
        z, y, x = self.data.shape
        return z, y, x

    def layer_kwargs(self) -> dict[str, Any]:
        """Return what a napari layer needs to show the voxels in place, in mm.

        The geometry travels in the metadata, so that a labels layer can be written on exactly the
        file's own grid.
        """
        return {
            "name": self.name,
            **self.geometry.layer_transform(),
            "units": ("mm",) * 3,
            "axis_labels": ("z", "y", "x"),
            "metadata": {"geometry": self.geometry},
        }
