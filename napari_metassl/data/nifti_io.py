"""NIfTI-1 and NIfTI-2 through nibabel, with every header field about space kept bit for bit."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_metassl.data.file_checks import (
    FileNote,
    quoted,
    require_affine,
    require_file,
    require_memory,
    require_stored_bytes,
    require_volume_shape,
    voxel_count,
)
from napari_metassl.data.geometry import (
    Array,
    Floats,
    Geometry,
    NiftiSpace,
    largest_grid_gap,
    ras_to_lps,
)
from napari_metassl.errors import FileProblem

SPACE_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
LABEL_INTENT = 1002
UNITS_TO_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres per spatial unit code: unknown (taken as mm), meter, millimeter, micron."""


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
    return image, _geometry(path, image.header, shape)


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
    _write_space(header, geometry)
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
    from nibabel.imageglobals import LoggingOutputSuppressor

    require_file(path)
    _require_honest_gzip(path)
    try:
        with LoggingOutputSuppressor(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
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


def _not_nifti(path: Path) -> FileProblem:
    return FileProblem(
        f"{quoted(path)} is not a NIfTI file although its name says so, or its header is damaged. "
        "Export it again, or give it the suffix of what it is."
    )


def _truncated(path: Path) -> FileProblem:
    return FileProblem(
        f"{quoted(path)} is truncated or damaged: its voxels end before the header says so. Copy "
        "or export it again."
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
    try:
        voxels = np.asarray(image.dataobj.get_unscaled())
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise _truncated(path) from error
    except MemoryError as error:
        raise FileProblem(
            f"{quoted(path)} does not fit into memory. Close other volumes, or crop it first."
        ) from error
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False)


def _scale(voxels: Array, slope: float, inter: float) -> Array:
    """Apply ``slope * voxels + inter``; integers stay integers where the header allows it."""
    if slope == 1 and inter == 0:
        return voxels
    if voxels.dtype.kind in "iu" and slope.is_integer() and inter.is_integer() and voxels.size:
        ends = [int(end) * int(slope) + int(inter) for end in (voxels.min(), voxels.max())]
        if min(ends) >= -(2**31) and max(ends) < 2**31:
            small = np.promote_types(np.min_scalar_type(min(ends)), np.min_scalar_type(max(ends)))
            wide = voxels.astype(np.int64) * int(slope) + int(inter)
            return wide.astype(small)
    scaled = np.empty(voxels.shape, np.float32, order="F")
    for k in range(voxels.shape[2]):  # slice by slice: float64 in between, but never all of it
        scaled[..., k] = voxels[..., k].astype(np.float64) * slope + inter
    return scaled


def _geometry(path: Path, header: Any, shape: tuple[int, int, int]) -> Geometry:
    space = _read_space(header)
    to_mm = UNITS_TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    affine = _in_mm(ras_to_lps(_best_affine(path, header)), to_mm)
    require_affine(path, affine)
    _note_orientation(path, header, affine, to_mm)
    return Geometry.from_file(affine, shape, space)


def _best_affine(path: Path, header: Any) -> Floats:
    try:
        return np.asarray(header.get_best_affine(), dtype=np.float64)
    except Exception as error:  # a quaternion longer than 1, a qfac that is none ...
        raise FileProblem(
            f"{quoted(path)} states no valid orientation (its qform is damaged). Repair the "
            "header, or export it again."
        ) from error


def _in_mm(affine: Floats, to_mm: float) -> Floats:
    scaled = affine.copy()
    scaled[:3] *= to_mm
    return scaled


def _note_orientation(path: Path, header: Any, affine: Floats, to_mm: float) -> None:
    """Warn about a file that contradicts itself, or says nothing, about orientation."""
    codes = int(header["sform_code"]), int(header["qform_code"])
    if codes == (0, 0):
        _warn(
            f"{quoted(path)} states no orientation (qform and sform codes are 0), so left and "
            "right are a guess. Check them before relying on them."
        )
        return
    if 0 in codes:
        return
    try:
        qform = _in_mm(ras_to_lps(header.get_qform()), to_mm)
    except Exception:  # a damaged qform beside a sound sform: the sform is what counts
        _warn(f"{quoted(path)} has a damaged qform. Its sform is used.")
        return
    gap = largest_grid_gap(affine, qform, header.get_data_shape()[:3])
    if gap > 0.1 * float(np.linalg.norm(affine[:3, :3], axis=0).min()):
        _warn(
            f"{quoted(path)} places its voxels in two ways: qform and sform lie up to {gap:.3g} mm "
            "apart. The sform is shown; both are kept when labels are written."
        )


def _warn(message: str) -> None:
    warnings.warn(message, FileNote, stacklevel=2)


def _read_space(header: Any) -> NiftiSpace:
    fields: dict[str, Array] = {name: np.array(header[name]) for name in SPACE_FIELDS}
    fields["pixdim"] = np.array(header["pixdim"][:4])
    version: Literal[1, 2] = 2 if int(header["sizeof_hdr"]) == 540 else 1
    return NiftiSpace(version, fields)


def _write_space(header: Any, geometry: Geometry) -> None:
    if geometry.source.nifti is not None:
        _copy_fields(header, geometry.source.nifti.fields)
        return
    affine = ras_to_lps(geometry.source.affine)
    header.set_xyzt_units("mm")
    header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)


def _copy_fields(header: Any, fields: Mapping[str, Array]) -> None:
    for name, value in fields.items():
        if name == "pixdim":
            header["pixdim"][:4] = value
        else:
            header[name] = value


def _version_for(geometry: Geometry, shape: tuple[int, ...]) -> int:
    if max(shape) > np.iinfo(np.int16).max:
        return 2
    return geometry.source.nifti.version if geometry.source.nifti else 1
