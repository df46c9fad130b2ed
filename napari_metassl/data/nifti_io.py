"""NIfTI-1 and NIfTI-2 through nibabel, with every header field about space kept bit for bit."""

from __future__ import annotations

import gzip
import io
import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_metassl.data.file_checks import (
    quoted,
    require_file,
    require_memory,
    require_stored_bytes,
    require_volume_shape,
    smallest_integer_type,
    voxel_count,
)
from napari_metassl.data.geometry import Array, Geometry
from napari_metassl.data.nifti_space import header_geometry, write_space
from napari_metassl.errors import FileProblem

LABEL_INTENT = 1002
CHUNK = 1 << 24


def read_nifti(path: Path, scaled: bool = True) -> tuple[Array, Geometry]:
    """Read voxels in the file's ``(i, j, k)`` order, and their geometry.

    The header is judged (shape, kind of voxel, memory, file size, affine) before any voxel is
    read. Integer voxels that the header does not scale keep their type.

    Parameters
    ----------
    path
        ``.nii``, ``.nii.gz``, or either file of a ``.hdr`` + ``.img`` pair.
    scaled
        Whether to apply the header's slope and intercept.
    """
    image, geometry = _judged_header(path)
    shape = require_volume_shape(path, image.header.get_data_shape())
    voxels = _stored_voxels(path, image).reshape(shape, order="F")
    if not scaled:
        return voxels, geometry
    return _scale(voxels, float(image.dataobj.slope), float(image.dataobj.inter)), geometry


def nifti_geometry(path: Path) -> Geometry:
    """Read the geometry from the header alone."""
    return _judged_header(path)[1]


def _judged_header(path: Path) -> tuple[Any, Geometry]:
    image = _open(path)
    shape = require_volume_shape(path, image.header.get_data_shape())
    dtype = image.header.get_data_dtype()
    _require_scalar(path, dtype)
    require_memory(path, shape, max(dtype.itemsize, 4))
    _require_voxel_bytes(path, image, dtype.itemsize * voxel_count(shape))
    return image, header_geometry(path, _as_stored(image), shape)


def _as_stored(image: Any) -> Any:
    """Return the header as it stands in the file; nibabel turns e.g. a spacing of 0 into 1."""
    from nibabel.openers import ImageOpener

    holder = image.file_map.get("header") or image.file_map["image"]
    with ImageOpener(holder.filename) as file:
        return type(image.header).from_fileobj(file, check=False)


def write_nifti(
    path: Path,
    file_array: Array,
    geometry: Geometry,
    *,
    slope: float = 1.0,
    label_map: bool = False,
) -> None:
    """Write voxels given in the file's ``(i, j, k)`` order.

    A grid that came from a NIfTI file gets that file's own qform, sform and codes; any other gets
    its affine as both, with code 1 (scanner).
    """
    import nibabel as nib

    version = _version_for(geometry, file_array.shape)
    image_class = nib.Nifti2Image if version == 2 else nib.Nifti1Image
    header = image_class.header_class()
    header.set_data_dtype(file_array.dtype)
    header.set_data_shape(file_array.shape)
    header["descrip"] = b"napari-metassl"
    if label_map:
        header["intent_code"] = LABEL_INTENT
    write_space(header, geometry)
    # affine=None: nibabel then leaves the header's own statements alone.
    image = image_class(file_array, None, header)
    image.header.set_slope_inter(slope, 0)
    nib.save(image, path)


def says_label_map(path: Path) -> bool:
    """Whether the header itself declares a label map (NIfTI intent "label")."""
    return bool(int(_open(path).header["intent_code"]) == LABEL_INTENT)


def _open(path: Path) -> Any:
    """Load the header, turning whatever nibabel says into one sentence."""
    import nibabel as nib

    require_file(path)
    _require_honest_gzip(path)
    try:
        with _quiet_nibabel():
            image = nib.load(path, mmap=False)
    except FileNotFoundError as error:
        header = path.with_name(path.name.replace(".img", ".hdr").replace(".IMG", ".HDR"))
        raise FileProblem(
            f"{quoted(path)} is one file of a .hdr + .img pair, but {quoted(header)} is missing. "
            "Put both into one folder."
        ) from error
    except (EOFError, zlib.error) as error:
        raise _truncated(path) from error
    except Exception as error:  # nibabel raises its own, gzip's, struct's and numpy's errors here
        raise _not_nifti(path) from error
    if isinstance(image, nib.Nifti1Pair):
        return image
    if isinstance(image, nib.Cifti2Image):
        raise FileProblem(
            f"{quoted(path)} is a CIFTI-2 file of values on brain surfaces, expected a volume. "
            "Give the NIfTI volume it was made from."
        )
    if isinstance(image, nib.AnalyzeImage):
        raise FileProblem(
            f"{quoted(path)} is an Analyze 7.5 file, which cannot tell left from right. Convert "
            "it to NIfTI with the program that wrote it."
        )
    raise _not_nifti(path)


@contextmanager
def _quiet_nibabel() -> Iterator[None]:
    """Keep what nibabel repairs in a header off the terminal; what matters is judged later."""
    from nibabel.imageglobals import logger

    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _not_nifti(path: Path) -> FileProblem:
    return FileProblem(
        f"{quoted(path)} is not a NIfTI file although its name says so, or its header is damaged. "
        "Export it again, or give it the suffix of what it is."
    )


def _truncated(path: Path) -> FileProblem:
    return FileProblem(
        f"{quoted(path)} is truncated or damaged: its voxels are incomplete or fail their "
        "checksum. Copy or export it again."
    )


def _require_honest_gzip(path: Path) -> None:
    if path.suffix.lower() != ".gz":
        return
    with path.open("rb") as file:
        magic = file.read(2)
    if magic != b"\x1f\x8b":
        raise FileProblem(
            f"{quoted(path)} is not compressed although its name ends in .gz. If it is a plain "
            "NIfTI file, rename it to .nii."
        )


def _require_scalar(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.fields is not None:
        raise FileProblem(
            f"{quoted(path)} is a color image, expected one number per voxel. Export it as a "
            "grayscale image."
        )
    if dtype.kind not in "iuf":
        kind = "complex numbers" if dtype.kind == "c" else f"{dtype} voxels"
        raise FileProblem(
            f"{quoted(path)} holds {kind}, expected one real number per voxel. Export e.g. the "
            "magnitude image."
        )


def _require_voxel_bytes(path: Path, image: Any, promised: int) -> None:
    file = Path(image.file_map["image"].filename)
    if not file.is_file():
        raise FileProblem(
            f"{quoted(path)} is one file of a .hdr + .img pair, but {quoted(file)} is missing. Put "
            "both into one folder."
        )
    compressed = file.suffix.lower() == ".gz"
    offset = 0 if compressed else int(image.dataobj.offset)
    require_stored_bytes(path, promised, file.stat().st_size - offset, compressed)


def _stored_voxels(path: Path, image: Any) -> Array:
    """Read the voxels as they are stored, and in a compressed file its checksum as well.

    nibabel stops behind the last voxel, in front of the checksum, so it would take damaged voxels.
    """
    file, count = Path(image.file_map["image"].filename), voxel_count(image.header.get_data_shape())
    opener = gzip.open if file.suffix.lower() == ".gz" else open
    try:
        buffer = bytearray(count * image.dataobj.dtype.itemsize)
        with opener(file, "rb") as stream:
            stream.seek(image.dataobj.offset)
            complete = _fill(buffer, stream)
            while opener is gzip.open and stream.read(CHUNK):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _truncated(path) from error
    except MemoryError as error:
        raise FileProblem(
            f"{quoted(path)} does not fit into memory. Close other volumes, or crop it first."
        ) from error
    if not complete:
        raise _truncated(path)
    voxels = np.frombuffer(buffer, image.dataobj.dtype)
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def _fill(buffer: bytearray, stream: gzip.GzipFile | io.BufferedReader) -> bool:
    """Fill the buffer from the stream; whether there was enough."""
    place = 0
    while place < len(buffer):
        part = stream.read(min(CHUNK, len(buffer) - place))
        if not part:
            return False
        buffer[place : place + len(part)] = part
        place += len(part)
    return True


def _scale(voxels: Array, slope: float, inter: float) -> Array:
    """Apply ``slope * voxels + inter``; integers stay small integers where the header lets them."""
    if slope == 1 and inter == 0:
        return voxels
    scaled = np.empty(voxels.shape, _scaled_type(voxels, slope, inter), order="F")
    for k in range(voxels.shape[2]):  # slice by slice: float64 in between, but never all of it
        scaled[..., k] = voxels[..., k].astype(np.float64) * slope + inter
    return scaled


def _scaled_type(voxels: Array, slope: float, inter: float) -> np.dtype[Any]:
    if voxels.dtype.kind in "iu" and slope.is_integer() and inter.is_integer() and voxels.size:
        ends = [int(end) * int(slope) + int(inter) for end in (voxels.min(), voxels.max())]
        kind = smallest_integer_type(min(ends), max(ends))
        if kind is not None:
            return kind
    return np.dtype(np.float32)


def _version_for(geometry: Geometry, shape: tuple[int, ...]) -> int:
    if max(shape) > np.iinfo(np.int16).max:
        return 2
    return geometry.source.nifti.version if geometry.source.nifti else 1
