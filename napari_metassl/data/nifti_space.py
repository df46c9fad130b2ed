"""What a NIfTI header says about space: read with care, written back bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_metassl.data.file_checks import FileNote, quoted, require_affine
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
UNITS_TO_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres per spatial unit code: unknown (taken as mm), meter, millimeter, micron."""


def header_geometry(path: Path, header: Any, shape: tuple[int, int, int]) -> Geometry:
    """Return the geometry of a header as it stands in the file, refusing what cannot be shown.

    The sform is used where there is one, else the qform, else spacing alone, as NIfTI-1 says. A
    header that contradicts itself, or states no orientation, is taken with a `FileNote`.
    """
    space = _read_space(header)
    to_mm = UNITS_TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    affine = _in_mm(ras_to_lps(_best_affine(path, header)), to_mm)
    require_affine(path, affine)
    _note_orientation(path, header, affine, to_mm)
    return Geometry.from_file(affine, shape, space)


def _best_affine(path: Path, header: Any) -> Floats:
    if int(header["sform_code"]) == 0 and not (header["pixdim"][1:4] > 0).all():
        spacing = ", ".join(f"{float(size):.6g}" for size in header["pixdim"][1:4])
        raise FileProblem(
            f"{quoted(path)} states a voxel spacing of ({spacing}) mm, expected three numbers "
            "above 0. Repair the header, or export it again."
        )
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


def write_space(header: Any, geometry: Geometry) -> None:
    """Put a geometry into a header: bit for bit where it came from a NIfTI file.

    Any other grid is stated as both qform and sform, with code 1 (scanner).
    """
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
