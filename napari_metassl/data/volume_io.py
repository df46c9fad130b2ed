"""Volumes from and to files, by suffix: NIfTI, NRRD, MetaImage and DICOM series."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from napari_metassl.data.dicom_io import dicom_geometry, holds_dicom, is_dicom_file, read_dicom
from napari_metassl.data.file_checks import (
    FileNote,
    as_labels,
    quoted,
    require_file,
    require_finite,
    times,
)
from napari_metassl.data.geometry import Array, Geometry
from napari_metassl.data.itk_io import itk_geometry, read_itk, write_itk
from napari_metassl.data.nifti_io import nifti_geometry, read_nifti, says_label_map, write_nifti
from napari_metassl.data.volume import Volume
from napari_metassl.errors import FileProblem

NIFTI_SUFFIXES = (".nii.gz", ".nii", ".hdr", ".img", ".hdr.gz", ".img.gz")
ITK_SUFFIXES = (".seg.nrrd", ".seg.nhdr", ".nrrd", ".nhdr", ".mha", ".mhd")
VOLUME_SUFFIXES = (".nii.gz", ".nii", ".hdr.gz", ".hdr", *ITK_SUFFIXES)
"""Names a volume can be opened by. DICOM series are folders; the .img of a pair is not listed."""
WRITABLE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


def read_volume(path: Path | str, *, name: str | None = None, scaled: bool = True) -> Volume:
    """Read an image.

    Parameters
    ----------
    path
        A file, or the folder of one DICOM series.
    name
        What to call it; the file's stem by default.
    scaled
        Whether to apply a NIfTI header's slope and intercept.

    Returns
    -------
    Volume
        Voxels as the header scales them: float32, or the file's own integers.

    Raises
    ------
    FileProblem
        When the file cannot be read or shown right; one sentence.
    """
    path = Path(path)
    voxels, geometry = _read_file(path, scaled)
    if voxels.dtype.kind == "f" and voxels.dtype != np.float32:
        with np.errstate(over="ignore"):
            voxels = voxels.astype(np.float32)
    data = geometry.source.to_canonical(voxels)
    require_finite(path, data)
    return Volume(name or volume_stem(path), data, geometry)


def read_labels(path: Path | str, *, name: str | None = None) -> Volume:
    """Read a label map into the smallest unsigned integer type that holds its labels.

    Labels stored as floating point numbers are taken if every one is an integer.

    Raises
    ------
    FileProblem
        When the file cannot be read, or a voxel is not an integer of 0 or above.
    """
    path = Path(path)
    voxels, geometry = _read_file(path, scaled=True)
    data = as_labels(path, geometry.source.to_canonical(voxels))
    return Volume(name or volume_stem(path), data, geometry)


def read_geometry(path: Path | str) -> Geometry:
    """Read where a volume lies from its header alone, with the same refusals as `read_volume`."""
    path = Path(path)
    suffix = volume_suffix(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FileNote)  # said when the voxels are read
        if not path.is_dir() and suffix in NIFTI_SUFFIXES:
            return nifti_geometry(path)
        if not path.is_dir() and suffix in ITK_SUFFIXES:
            return itk_geometry(path)
        if path.is_dir() or is_dicom_file(path):
            return dicom_geometry(path)
    require_file(path)
    raise _unknown_suffix(path)


def write_labels(path: Path | str, labels: Array, geometry: Geometry) -> Path:
    """Write canonical (Z, Y, X) labels on exactly the grid, axis order and header of their source.

    Returns the path. The file is written aside and renamed, so a crash leaves no half file.
    """
    path = Path(path)
    compact = as_labels(path, np.asarray(labels))
    return _write_file(path, compact, geometry, label_map=True)


def encode_labels(
    aside: Path,
    labels: Array,
    geometry: Geometry,
    fields: Callable[[Array], Mapping[str, str]] | None = None,
) -> None:
    """Write labels as `write_labels` does, but to a path of `written_together` itself.

    Parameters
    ----------
    fields
        Gives what an NRRD header says beside the geometry, from the voxels in file order.
    """
    compact = as_labels(aside, np.asarray(labels))
    _require_writable(aside, compact, geometry)
    voxels = geometry.source.to_file(compact)
    if volume_suffix(aside) in NIFTI_SUFFIXES:
        write_nifti(aside, voxels, geometry, label_map=True)
    else:
        write_itk(aside, voxels, geometry, fields=fields(voxels) if fields else None)


def write_volume(path: Path | str, data: Array, geometry: Geometry, *, slope: float = 1.0) -> Path:
    """Write canonical (Z, Y, X) voxels as they are, on the grid of `geometry`.

    Parameters
    ----------
    path
        ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.
    data
        Integers or floats; 16-bit floats become 32-bit, which all formats know.
    geometry
        The grid, usually that of the image the voxels belong to.
    slope
        What a stored voxel is multiplied with when it is read (NIfTI only).
    """
    path, data = Path(path), np.asarray(data)
    if data.dtype in (np.float16, np.bool_):
        data = data.astype(np.float32 if data.dtype == np.float16 else np.uint8)
    if slope != 1 and volume_suffix(path) not in NIFTI_SUFFIXES:
        raise FileProblem(
            f"{quoted(path)} cannot store scaled voxels, expected a NIfTI file for them. Write it "
            "as .nii.gz."
        )
    return _write_file(path, data, geometry, slope=slope)


def declares_labels(path: Path | str) -> bool:
    """Whether the file itself says that it is a label map (NIfTI intent, Slicer's .seg.nrrd)."""
    path = Path(path)
    suffix = volume_suffix(path)
    if suffix in NIFTI_SUFFIXES:
        return says_label_map(path)
    return suffix is not None and suffix.startswith(".seg")


def volume_suffix(path: Path) -> str | None:
    """Return the known suffix a name ends in, in lower case, or None."""
    name = path.name.lower()
    known = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)
    ends = [suffix for suffix in known if name.endswith(suffix) and name != suffix]
    return max(ends, key=len, default=None)


def volume_stem(path: Path | str) -> str:
    """Return ``"p07"`` for ``p07.nii.gz``, ``p07.seg.nrrd`` or the DICOM folder ``p07``."""
    path = Path(path)
    if suffix := volume_suffix(path):
        return path.name[: -len(suffix)]
    if path.is_dir():
        return path.resolve().name
    return path.stem if is_dicom_file(path) else path.name


def list_volumes(folder: Path | str) -> dict[str, Path]:
    """Return the volumes of a folder by stem, sorted: files of known suffix and DICOM sub-folders.

    A folder that is itself a DICOM series counts as one volume. Hidden files are left out.

    Raises
    ------
    FileProblem
        When the folder is missing, or two files have one stem.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileProblem(f"The folder '{folder}' does not exist. Check the path.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not _is_volume(path):
            continue
        stem = volume_stem(path)
        if stem in found:
            raise FileProblem(
                f"{quoted(found[stem])} and {quoted(path)} in '{folder}' would both be volume "
                f"'{stem}'. Rename one or move it away."
            )
        found[stem] = path
    if not found and holds_dicom(folder):
        found[volume_stem(folder)] = folder
    return found


def _is_volume(path: Path) -> bool:
    if path.is_dir():
        return holds_dicom(path)
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def _read_file(path: Path, scaled: bool) -> tuple[Array, Geometry]:
    """Return voxels in file order and their geometry, by what the path is."""
    if path.is_dir():
        return read_dicom(path)
    require_file(path)
    suffix = volume_suffix(path)
    if suffix in NIFTI_SUFFIXES:
        return read_nifti(path, scaled)
    if suffix in ITK_SUFFIXES:
        return read_itk(path)
    if is_dicom_file(path) or path.name.upper() == "DICOMDIR":
        return read_dicom(path)
    raise _unknown_suffix(path)


def _unknown_suffix(path: Path) -> FileProblem:
    return FileProblem(
        f"{quoted(path)} has no suffix of a medical volume, expected .nii, .nii.gz, .nrrd, .nhdr, "
        ".mha, .mhd or a DICOM folder. Convert it first."
    )


def _write_file(
    path: Path, data: Array, geometry: Geometry, *, slope: float = 1.0, label_map: bool = False
) -> Path:
    _require_writable(path, data, geometry)
    voxels = geometry.source.to_file(data)
    with written_aside(path) as aside:
        if volume_suffix(path) in NIFTI_SUFFIXES:
            write_nifti(aside, voxels, geometry, slope=slope, label_map=label_map)
        else:
            write_itk(aside, voxels, geometry)
    return path


def _require_writable(path: Path, data: Array, geometry: Geometry) -> None:
    suffix = volume_suffix(path)
    if suffix is None or not suffix.endswith(WRITABLE_SUFFIXES):
        raise FileProblem(
            f"{quoted(path)} has no suffix that can be written, expected one of "
            f"{', '.join(WRITABLE_SUFFIXES)}. Choose one of them."
        )
    if data.ndim != 3 or (geometry.shape is not None and data.shape != geometry.shape):
        raise FileProblem(
            f"{quoted(path)} cannot be written: the voxels have shape {times(data.shape)} but the "
            f"volume has {times(geometry.shape or ())} (z, y, x). Resample or uncrop them first."
        )


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a path in the same folder to write to; flush it to disk and rename it at the end."""
    with written_together([path]) as (aside,):
        yield aside


@contextmanager
def written_together(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Give a path beside each of `paths` to write to; they are renamed once all are whole.

    Raises
    ------
    FileProblem
        If the disk refuses; what was written aside is then gone and what was there is untouched.
    """
    asides = [path.with_name(f".part-{os.getpid()}-{path.name}") for path in paths]
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield asides
        for aside in asides:
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
        for aside, path in zip(asides, paths, strict=True):
            aside.replace(path)
    except (OSError, RuntimeError) as error:
        raise FileProblem(
            f"{quoted(paths[0])} could not be written to '{paths[0].parent}': "
            f"{_first_line(error)}. Free space there or choose another folder."
        ) from error
    finally:
        for aside in asides:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return str(reason).strip().splitlines()[-1].rstrip(".")
