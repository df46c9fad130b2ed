"""Where voxels are: the one place that does 4 x 4 algebra.

World coordinates are LPS in mm (x grows to the patient's left, y to posterior, z to superior) and
are written in array order ``(z, y, x)``. The *canonical* orientation of an array is the one of the
48 axis permutations and flips of its file whose axes point closest to +z, +y, +x of the world; it
is reached by transposing and flipping alone, so no voxel value ever changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

SHEAR_TOLERANCE = 1e-3
"""Largest cosine between two axes still taken as a right angle (0.06 degrees)."""
OBLIQUE_TOLERANCE = 1e-4
"""Largest cosine off the world axes of a grid still called straight."""
GRID_TOLERANCE = 0.1
"""Largest distance, in voxels, between corners of two grids still called the same."""


def frozen_array(values: npt.ArrayLike) -> Floats:
    """Copy `values` into a read-only float64 array."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class NiftiSpace:
    """The NIfTI header fields that place the voxels, kept bit for bit.

    Parameters
    ----------
    version
        1 or 2: the NIfTI version the fields were read from, hence their precision.
    fields
        Raw header values by field name (``qform_code``, ``quatern_b``, ``srow_x`` ...).
    """

    version: Literal[1, 2]
    fields: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class ItkSpace:
    """Spacing (mm), origin (mm, LPS) and direction cosines exactly as an ITK file states them."""

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SourceLayout:
    """How the canonical array lies in its file, and what the file says about space.

    Parameters
    ----------
    axes
        File axis that became the canonical z, y, x axis.
    flips
        Whether the canonical z, y, x axis runs against its file axis.
    affine
        (4, 4) file index ``(i, j, k, 1)`` to world ``(x, y, z, 1)`` in mm, LPS.
    kind
        ``"nifti"``, ``"itk"`` or, for an array without a file, ``"array"``.
    nifti, itk
        The file's own statements, when it was such a file.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    affine: Floats
    kind: Literal["nifti", "itk", "array"] = "array"
    nifti: NiftiSpace | None = None
    itk: ItkSpace | None = None

    def to_canonical(self, file_array: Array) -> Array:
        """Return the file's ``(i, j, k)`` array as canonical (Z, Y, X), C-contiguous.

        Copied only when the axes or flips ask for it; torch takes no negative strides.
        """
        return np.ascontiguousarray(file_array.transpose(self.axes)[self._flip_slices()])

    def to_file(self, canonical: Array) -> Array:
        """Return a canonical (Z, Y, X) array in the file's ``(i, j, k)`` order (a view)."""
        return canonical[self._flip_slices()].transpose(np.argsort(self.axes))

    def _flip_slices(self) -> tuple[slice, slice, slice]:
        z, y, x = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return z, y, x


@dataclass(frozen=True, eq=False)
class Geometry:
    """Place of a canonical (Z, Y, X) array in the world, and the way back to its file.

    Parameters
    ----------
    affine
        (4, 4) float64: canonical index ``(k, j, i, 1)`` to world ``(z, y, x, 1)`` in mm.
    source
        How the array lies in its file.
    shape
        (Z, Y, X) of the array, if known.
    """

    affine: Floats
    source: SourceLayout
    shape: Shape | None = None
    spacing: Spacing = field(init=False)

    def __post_init__(self) -> None:
        norms = np.linalg.norm(self.affine[:3, :3], axis=0)
        object.__setattr__(self, "spacing", tuple(float(norm) for norm in norms))

    @classmethod
    def from_file(
        cls,
        affine: npt.ArrayLike,
        file_shape: Sequence[int],
        space: NiftiSpace | ItkSpace | None = None,
    ) -> Geometry:
        """Derive the canonical geometry of a file.

        Parameters
        ----------
        affine
            (4, 4) file index ``(i, j, k, 1)`` to world ``(x, y, z, 1)`` in mm, LPS.
        file_shape
            Size along the file's axes ``(i, j, k)``.
        space
            What the file itself says, to be written back unchanged.
        """
        file_affine = frozen_array(affine)
        axes, flips = _closest_orientation(file_affine)
        nifti = space if isinstance(space, NiftiSpace) else None
        itk = space if isinstance(space, ItkSpace) else None
        kind: Literal["nifti", "itk", "array"] = "nifti" if nifti else "itk" if itk else "array"
        source = SourceLayout(axes, flips, file_affine, kind, nifti, itk)
        z, y, x = (int(file_shape[axis]) for axis in axes)
        return cls(_canonical_affine(source, file_shape), source, (z, y, x))

    @classmethod
    def from_spacing(
        cls,
        spacing: Sequence[float],
        shape: Sequence[int] | None = None,
        origin: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> Geometry:
        """Place an array without a file on a straight grid.

        Parameters
        ----------
        spacing
            Voxel size ``(dz, dy, dx)`` in mm.
        shape
            (Z, Y, X) of the array, if known.
        origin
            World position ``(z, y, x)`` of the first voxel's center in mm.
        """
        affine = np.eye(4)
        affine[:3, :3] = np.diag(np.asarray(spacing, dtype=np.float64)[::-1])
        affine[:3, 3] = np.asarray(origin, dtype=np.float64)[::-1]
        geometry = cls.from_file(affine, (1, 1, 1) if shape is None else tuple(shape)[::-1])
        return geometry if shape is not None else cls(geometry.affine, geometry.source)

    @property
    def origin(self) -> Spacing:
        """World position ``(z, y, x)`` in mm of the canonical array's first voxel."""
        z, y, x = (float(value) for value in self.affine[:3, 3])
        return z, y, x

    @property
    def direction(self) -> Floats:
        """(3, 3) unit columns: where the canonical axes z, y, x point in world ``(z, y, x)``."""
        return np.asarray(self.affine[:3, :3] / np.asarray(self.spacing))

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in mL."""
        return float(np.prod(self.spacing)) / 1000

    @property
    def is_oblique(self) -> bool:
        """Whether the grid is turned against the world axes."""
        off_axis = self.direction[~np.eye(3, dtype=bool)]
        return bool(np.abs(off_axis).max() > OBLIQUE_TOLERANCE)

    def layer_transform(self) -> dict[str, tuple[float, ...]]:
        """Return `scale` and `translate` for a napari layer, in mm.

        An oblique volume is shown on its own grid: napari slices along array axes, so the exact
        direction is kept for writing only.
        """
        return {"scale": self.spacing, "translate": self.origin}

    def resampled_shape(self, spacing: Sequence[float]) -> Shape:
        """Return the (Z, Y, X) that covers the same field of view at another `spacing` (mm)."""
        if self.shape is None:
            raise ValueError("This geometry has no shape. Give one to Geometry.from_spacing first.")
        return resampled_shape(self.shape, self.spacing, spacing)

    def difference(self, other: Geometry, tolerance: float = GRID_TOLERANCE) -> str | None:
        """Say how `other` lies on another grid, or return None when the grids are the same.

        Grids are the same when their shapes are and no corner lies more than `tolerance` voxels
        apart; what float32 headers and quaternions lose is far below the default.
        """
        if self.shape is not None and other.shape is not None and self.shape != other.shape:
            return f"shape {self.shape} against {other.shape} voxels (z, y, x)"
        gap = self._largest_corner_gap(other)
        if gap <= tolerance * min(self.spacing):
            return None
        if not np.allclose(self.spacing, other.spacing, rtol=1e-3):
            return f"spacing {_mm(self.spacing)} against {_mm(other.spacing)}"
        if np.abs(self.direction - other.direction).max() > SHEAR_TOLERANCE:
            return f"another direction (corners up to {gap:.3g} mm apart)"
        return f"origin {_mm(self.origin)} against {_mm(other.origin)}"

    def same_grid(self, other: Geometry, tolerance: float = GRID_TOLERANCE) -> bool:
        """Whether voxel (k, j, i) of both geometries is at the same place in the world."""
        return self.difference(other, tolerance) is None

    def _largest_corner_gap(self, other: Geometry) -> float:
        last = np.asarray(self.shape or other.shape or (1, 1, 1)) - 1
        corners = np.array(np.meshgrid(*((0, n) for n in last))).reshape(3, -1)
        corners = np.vstack([corners, np.ones(8)])
        gaps = (self.affine @ corners - other.affine @ corners)[:3]
        return float(np.linalg.norm(gaps, axis=0).max())


def resampled_shape(
    shape: Sequence[int], spacing: Sequence[float], wanted: Sequence[float]
) -> Shape:
    """Return the (Z, Y, X) that covers the same field of view at the `wanted` spacing (mm)."""
    sizes = zip(shape, spacing, wanted, strict=True)
    z, y, x = (max(1, round(size * old / new)) for size, old, new in sizes)
    return z, y, x


def affine_problem(affine: npt.ArrayLike) -> str | None:
    """Say why a (4, 4) affine cannot be shown as a grid of boxes, or return None.

    The clause goes behind "its": not finite, a zero spacing, no volume, or a shear.
    """
    matrix = np.asarray(affine, dtype=np.float64)
    if not np.isfinite(matrix).all():
        return (
            "position in space is not a number (the header holds NaN, infinity or a spacing of 0)"
        )
    columns = matrix[:3, :3]
    norms = np.linalg.norm(columns, axis=0)
    if norms.min() <= 1e-9:
        return f"voxel spacing is {_mm(norms)}, but every spacing must be larger than 0"
    cosines = np.abs((columns / norms).T @ (columns / norms))[~np.eye(3, dtype=bool)]
    if abs(np.linalg.det(columns / norms)) < 1e-3:
        return "affine is singular: two of its axes point the same way"
    if cosines.max() > SHEAR_TOLERANCE:
        angle = float(np.degrees(np.arccos(cosines.max())))
        return f"affine is sheared: two of its axes meet at {angle:.2f} instead of 90 degrees"
    return None


def ras_to_lps(affine: npt.ArrayLike) -> Floats:
    """Turn the world of a (4, 4) affine from RAS (NIfTI) to LPS (DICOM, ITK), or back."""
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine, dtype=np.float64)


def affine_from_itk(space: ItkSpace) -> Floats:
    """Join ITK's spacing, origin and direction: (4, 4) file index to world (x, y, z)."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(space.direction, (3, 3)) * np.asarray(space.spacing)
    affine[:3, 3] = space.origin
    return affine


def itk_from_affine(affine: npt.ArrayLike) -> ItkSpace:
    """Split a (4, 4) file index to world (x, y, z) affine into ITK's spacing, origin, direction."""
    matrix = np.asarray(affine, dtype=np.float64)
    norms = np.linalg.norm(matrix[:3, :3], axis=0)
    direction = (matrix[:3, :3] / norms).ravel()
    return ItkSpace(tuple(norms.tolist()), tuple(matrix[:3, 3].tolist()), tuple(direction.tolist()))


def largest_grid_gap(
    affine: npt.ArrayLike, other: npt.ArrayLike, file_shape: Sequence[int]
) -> float:
    """Return how far (mm) the corners of one file's grid lie apart under two affines."""
    one = Geometry.from_file(affine, file_shape)
    corners = np.array(np.meshgrid(*((0, n - 1) for n in file_shape[:3]))).reshape(3, -1)
    corners = np.vstack([corners, np.ones(8)])
    gaps = (one.source.affine - np.asarray(other, dtype=np.float64)) @ corners
    return float(np.linalg.norm(gaps[:3], axis=0).max())


def slice_stack_affine(
    row: Sequence[float], column: Sequence[float], steps: tuple[float, float], positions: Floats
) -> Floats:
    """Return the affine of a stack of DICOM slices from where its slices say they are.

    Parameters
    ----------
    row, column
        Unit vectors (x, y, z) along a row and a column of pixels (Image Orientation (Patient)).
    steps
        Distance in mm between neighbours along a row and along a column.
    positions
        (N, 3) world (x, y, z) of the first pixel of every slice, in order.
    """
    affine = np.eye(4)
    affine[:3, 0] = np.asarray(row) * steps[0]
    affine[:3, 1] = np.asarray(column) * steps[1]
    affine[:3, 2] = (positions[-1] - positions[0]) / max(len(positions) - 1, 1)
    affine[:3, 3] = positions[0]
    return affine


def _closest_orientation(
    affine: Floats,
) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return the file axis and flip for each canonical axis z, y, x."""
    columns = affine[:3, :3]
    # Rounded, so that float32 noise cannot decide a tie (a grid turned by exactly 45 degrees).
    cosines = np.round(columns / np.linalg.norm(columns, axis=0), 5)

    def closeness(axes: tuple[int, ...]) -> float:
        return round(
            float(sum(abs(cosines[2 - place, axis]) for place, axis in enumerate(axes))), 4
        )

    z, y, x = max(permutations((2, 1, 0)), key=closeness)
    return (z, y, x), (bool(cosines[2, z] < 0), bool(cosines[1, y] < 0), bool(cosines[0, x] < 0))


def _canonical_affine(source: SourceLayout, file_shape: Sequence[int]) -> Floats:
    """Return the canonical index to world (z, y, x) affine."""
    index = np.zeros((4, 4))
    index[3, 3] = 1
    for place, (axis, flip) in enumerate(zip(source.axes, source.flips, strict=True)):
        index[axis, place] = -1 if flip else 1
        index[axis, 3] = file_shape[axis] - 1 if flip else 0
    return frozen_array((source.affine @ index)[[2, 1, 0, 3]])


def _mm(values: Sequence[float] | Floats) -> str:
    return "(" + ", ".join(f"{float(value):.6g}" for value in values) + ") mm"
