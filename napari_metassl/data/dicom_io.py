"""DICOM series through SimpleITK's GDCM, placed by what every slice says about itself."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_metassl.data.file_checks import (
    FileNote,
    quoted,
    require_affine,
    require_file,
    smallest_integer_type,
)
from napari_metassl.data.geometry import (
    Array,
    Floats,
    Geometry,
    affine_from_itk,
    itk_from_affine,
    slice_stack_affine,
)
from napari_metassl.data.itk_io import (
    open_header,
    require_scalar_volume,
    stated_space,
    voxels_of,
)
from napari_metassl.errors import FileProblem

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
PREAMBLE = 132  # bytes: 128 of anything, then "DICM"
SERIES, DESCRIPTION, IMAGE_TYPE = "0020|000e", "0008|103e", "0008|0008"
POSITION, ORIENTATION = "0020|0032", "0020|0037"
SLOPE, INTERCEPT = "0028|1053", "0028|1052"
UNEVEN_LIMIT = 0.05
"""Largest distance of a slice from its place in an even stack, in slice steps."""


@dataclass(frozen=True, eq=False)
class _Slice:
    """What one file says about itself; position and orientation are empty when it does not."""

    path: Path
    series: str
    description: str
    kind: str
    size: tuple[int, ...]
    spacing: tuple[float, ...]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    rescale: tuple[str, str]

    @property
    def frames(self) -> int:
        return self.size[2] if len(self.size) > 2 else 1


def read_dicom(path: Path) -> tuple[Array, Geometry]:
    """Read a series, given as its folder or as one of its files, in ``(i, j, k)`` order.

    A folder must hold exactly one series. Slices are sorted along their normal and must form an
    even stack: a missing slice, two slices at one place, or a tilted gantry is refused.
    """
    stack, affine = _placed_stack(path)
    if affine is None:
        return _read_single(stack[0].path)
    shape = (*stack[0].size[:2], len(stack))
    voxels = voxels_of(path, _series_reader(stack)).reshape(shape, order="F")
    return _compact(voxels), Geometry.from_file(affine, shape, itk_from_affine(affine))


def dicom_geometry(path: Path) -> Geometry:
    """Read the geometry of a series from the headers of its slices alone."""
    stack, affine = _placed_stack(path)
    if affine is None:
        return _single_header(stack[0].path)[1]
    return Geometry.from_file(affine, (*stack[0].size[:2], len(stack)), itk_from_affine(affine))


def _placed_stack(path: Path) -> tuple[list[_Slice], Floats | None]:
    """Return the slices in order and their affine, or one file that is a series by itself."""
    slices = _series_slices(path)
    if len(slices) == 1:
        return slices, None
    stack = _sorted_stack(slices, path)
    row, column = np.reshape(stack[0].orientation, (2, 3)).tolist()
    positions = np.array([one.position for one in stack])
    _require_even(path, positions)
    steps = (stack[0].spacing[0], stack[0].spacing[1])
    affine = slice_stack_affine(row, column, steps, positions)
    require_affine(path, affine)
    return stack, affine


def is_dicom_file(path: Path) -> bool:
    """Whether a file says it is DICOM: by its suffix, or by ``DICM`` after the preamble.

    Files that hold nothing are not opened: reading a pipe or a kernel log can wait for ever.
    """
    if path.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        if not path.is_file() or path.stat().st_size < PREAMBLE:
            return False
        with path.open("rb") as file:
            return file.read(PREAMBLE)[-4:] == b"DICM"
    except OSError:
        return False


def holds_dicom(folder: Path, look_at: int = 20) -> bool:
    """Whether one of the first files of a folder is DICOM."""
    seen = 0
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file() or path.name.upper() == "DICOMDIR":
            continue
        if is_dicom_file(path):
            return True
        seen += 1
        if seen >= look_at:
            break
    return False


def _series_slices(path: Path) -> list[_Slice]:
    if path.is_dir():
        return _only_series(path)
    require_file(path)
    if path.name.upper().startswith("DICOMDIR"):
        raise FileProblem(
            f"{quoted(path)} is an index of DICOM files, expected a series. Choose the folder of "
            "one series."
        )
    chosen = _describe(path)
    if chosen.frames > 1:
        return [chosen]
    return _series_in(path.parent)[chosen.series]


def _series_in(folder: Path) -> dict[str, list[_Slice]]:
    """Group the image slices of a folder by series; say which DICOM files hold no image.

    GDCM's own scan stops at the first odd file of a folder and compares no slice with another.
    """
    series: dict[str, list[_Slice]] = {}
    left_out = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.upper() == "DICOMDIR" or not is_dicom_file(path):
            continue
        try:
            one = _describe(path)
        except FileProblem:
            left_out.append(path)
            continue
        series.setdefault(one.series, []).append(one)
    if left_out and series:
        names = ", ".join(quoted(path) for path in left_out[:3])
        warnings.warn(
            f"{len(left_out)} DICOM files in {quoted(folder)} hold no readable image and are left "
            f"out: {names}{' ...' if len(left_out) > 3 else ''}.",
            FileNote,
            stacklevel=2,
        )
    return series


def _only_series(folder: Path) -> list[_Slice]:
    series = _series_in(folder)
    if not series:
        raise FileProblem(
            f"The folder {quoted(folder)} holds no DICOM images. Choose the folder that holds the "
            "files of one series."
        )
    if len(series) == 1:
        return next(iter(series.values()))
    listed = "; ".join(
        f"{slices[0].description or 'without description'} ({len(slices)} files, e.g. "
        f"{quoted(slices[0].path)})"
        for slices in list(series.values())[:6]
    )
    more = f" and {len(series) - 6} more" if len(series) > 6 else ""
    raise FileProblem(
        f"The folder {quoted(folder)} holds {len(series)} DICOM series, expected one: {listed}"
        f"{more}. Give one file of the series you want, or move it to a folder of its own."
    )


def _read_single(path: Path) -> tuple[Array, Geometry]:
    """Read a file that is a series by itself: one slice, or all frames in one file."""
    reader, geometry = _single_header(path)
    shape = reader.GetSize()[:3]
    return _compact(voxels_of(path, reader).reshape(shape, order="F")), geometry


def _single_header(path: Path) -> tuple[Any, Geometry]:
    reader = _dicom_header(path)
    shape = require_scalar_volume(path, reader)
    if shape[2] > 1:
        _require_placed_frames(path, reader)
    else:
        _require_placed_slice(_describe(path))
    space = stated_space(reader)
    require_affine(path, affine_from_itk(space))
    return reader, Geometry.from_file(affine_from_itk(space), shape, space)


def _require_placed_frames(path: Path, reader: Any) -> None:
    """Refuse frames without a place, such as ultrasound loops and photographs."""
    placed = bool(_tag(reader, POSITION)) or reader.GetOrigin()[:3] != (0.0, 0.0, 0.0)
    if not placed:
        raise FileProblem(
            f"{quoted(path)} holds {reader.GetSize()[2]} frames without a position in space (a "
            "film, for instance), expected the slices of a volume. Choose a CT or MR series."
        )


def _dicom_header(path: Path) -> Any:
    try:
        return open_header(path)
    except FileProblem as error:
        raise FileProblem(
            f"{quoted(path)} holds no readable image: it is truncated, or a report, plan or "
            "waveform instead. Choose a file of a CT or MR series."
        ) from error


def _describe(path: Path) -> _Slice:
    reader = _dicom_header(path)
    return _Slice(
        path,
        _tag(reader, SERIES) or path.name,
        _tag(reader, DESCRIPTION),
        _tag(reader, IMAGE_TYPE),
        tuple(reader.GetSize()),
        tuple(reader.GetSpacing()),
        _numbers(_tag(reader, ORIENTATION), 6),
        _numbers(_tag(reader, POSITION), 3),
        (_tag(reader, SLOPE), _tag(reader, INTERCEPT)),
    )


def _sorted_stack(slices: list[_Slice], path: Path) -> list[_Slice]:
    first = slices[0]
    for other in slices:
        _require_placed_slice(other)
        same = np.allclose(other.orientation, first.orientation, atol=1e-3)
        same = same and np.allclose(other.spacing[:2], first.spacing[:2], rtol=1e-3)
        if other.size != first.size or not same:
            raise FileProblem(
                f"{quoted(path)} mixes slices of different size, spacing or direction "
                f"({quoted(first.path)} and {quoted(other.path)}), expected one even stack. Move "
                "localizers out of the folder."
            )
        if other.frames > 1:
            raise FileProblem(
                f"{quoted(path)} holds {len(slices)} files of many frames each, expected one "
                f"volume. Give one of the files, e.g. {quoted(first.path)}."
            )
    require_scalar_volume(first.path, open_header(first.path), slices=len(slices))
    row, column = np.reshape(first.orientation, (2, 3))
    normal = np.cross(row, column)
    return sorted(slices, key=lambda one: float(np.dot(normal, one.position)))


def _require_placed_slice(one: _Slice) -> None:
    if "MOSAIC" in one.kind:
        raise FileProblem(
            f"{quoted(one.path)} is a Siemens mosaic: all slices of a volume tiled into one "
            "picture. Convert the series to NIfTI first, e.g. with dcm2niix."
        )
    if not one.position or not one.orientation:
        raise FileProblem(
            f"{quoted(one.path)} does not say where its slice lies (Image Position and Image "
            "Orientation (Patient)), which a volume needs. Export the original series."
        )


def _require_even(path: Path, positions: Floats) -> None:
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    if steps.min() < 1e-3:
        raise FileProblem(
            f"{quoted(path)} holds several slices at one place (time points, echoes or two "
            "exports), expected one volume. Keep one of them in the folder."
        )
    even = np.linspace(positions[0], positions[-1], len(positions))
    typical = float(np.median(steps))
    if np.linalg.norm(positions - even, axis=1).max() > UNEVEN_LIMIT * typical:
        raise FileProblem(
            f"{quoted(path)} is not an even stack: its {len(positions)} slices lie "
            f"{steps.min():.4g} to {steps.max():.4g} mm apart, so slices are missing or vary. "
            "Complete the series, or resample it."
        )


def _series_reader(stack: list[_Slice]) -> Any:
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(one.path) for one in stack])
    if len({one.rescale for one in stack}) > 1:
        # Every slice has a scale of its own (PET): the first slice's type would cut the others.
        reader.SetOutputPixelType(sitk.sitkFloat32)
    return reader


def _compact(voxels: Array) -> Array:
    """Return integers in the smallest type; GDCM widens what it rescales to 32 bits."""
    if voxels.dtype.kind in "iu" and voxels.dtype.itemsize > 2 and voxels.size:
        kind = smallest_integer_type(int(voxels.min()), int(voxels.max()))
        if kind is not None:
            return voxels.astype(kind)
    return voxels


def _tag(reader: Any, tag: str) -> str:
    return str(reader.GetMetaData(tag)).strip() if reader.HasMetaDataKey(tag) else ""


def _numbers(text: str, count: int) -> tuple[float, ...]:
    """Return `count` numbers parted by backslashes, or nothing when there are not as many."""
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return ()
    return numbers if len(numbers) == count else ()
