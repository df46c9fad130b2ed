"""NRRD and MetaImage through SimpleITK, with spacing, origin and direction kept exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_metassl.data.file_checks import (
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
    Geometry,
    ItkSpace,
    affine_from_itk,
    itk_from_affine,
)
from napari_metassl.errors import FileProblem


def read_itk(path: Path) -> tuple[Array, Geometry]:
    """Read voxels in the file's ``(i, j, k)`` order, and their geometry.

    The header is judged (shape, components, memory, file size, affine) before any voxel is read.
    """
    reader, geometry = _judged_header(path)
    shape = reader.GetSize()[:3]
    return voxels_of(path, reader).reshape(shape, order="F"), geometry


def itk_geometry(path: Path) -> Geometry:
    """Read the geometry from the header alone."""
    return _judged_header(path)[1]


def _judged_header(path: Path) -> tuple[Any, Geometry]:
    require_file(path)
    _require_voxel_bytes(path)
    reader = open_header(path)
    shape = require_scalar_volume(path, reader)
    space = stated_space(reader)
    require_affine(path, affine_from_itk(space))
    return reader, Geometry.from_file(affine_from_itk(space), shape, space)


def write_itk(
    path: Path, file_array: Array, geometry: Geometry, *, fields: Mapping[str, str] | None = None
) -> None:
    """Write voxels given in the file's ``(i, j, k)`` order as compressed NRRD or MetaImage.

    Parameters
    ----------
    fields
        What the header says beside the geometry, by name.
    """
    import SimpleITK as sitk  # noqa: N813 - the name everyone uses

    space = geometry.source.itk or itk_from_affine(geometry.source.affine)
    image = sitk.GetImageFromArray(np.ascontiguousarray(file_array.T))
    image.SetSpacing(space.spacing)
    image.SetOrigin(space.origin)
    image.SetDirection(space.direction)
    for name, value in (fields or {}).items():
        image.SetMetaData(name, value)
    with quiet_itk():
        sitk.WriteImage(image, str(path), useCompression=True)


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK's C++ warnings off the terminal; what matters is raised."""
    import SimpleITK as sitk  # noqa: N813

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def open_header(path: Path) -> Any:
    """Return a SimpleITK reader that has read the header of `path`."""
    import SimpleITK as sitk  # noqa: N813

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.LoadPrivateTagsOff()
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, str(error)) from error
    return reader


def require_scalar_volume(path: Path, reader: Any, slices: int = 1) -> tuple[int, int, int]:
    """Return the file shape, refusing colors, vectors, complex numbers and what does not fit."""
    import SimpleITK as sitk  # noqa: N813

    components = int(reader.GetNumberOfComponents())
    kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if components > 1 or "vector" in kind or "complex" in kind:
        raise FileProblem(
            f"{quoted(path)} holds {components} numbers per voxel (a color or vector image), "
            "expected one. Export it as a grayscale image."
        )
    shape = require_volume_shape(path, reader.GetSize())
    itemsize = 8 if "64" in kind else 4  # float32 or int32 is the least that is worked with
    require_memory(path, (*shape[:2], shape[2] * slices), itemsize)
    return shape


def stated_space(reader: Any) -> ItkSpace:
    """Return spacing, origin and direction of the first three axes as the header states them."""
    size = reader.GetDimension()
    direction = np.reshape(reader.GetDirection(), (size, size))[:3, :3]
    return ItkSpace(
        tuple(reader.GetSpacing()[:3]),
        tuple(reader.GetOrigin()[:3]),
        tuple(direction.ravel().tolist()),
    )


def voxels_of(path: Path, reader: Any) -> Array:
    """Execute a SimpleITK reader and return ``(i, j, k)`` voxels."""
    import SimpleITK as sitk  # noqa: N813

    try:
        with quiet_itk():
            image = reader.Execute()
    except RuntimeError as error:
        raise _unreadable(path, str(error)) from error
    return np.asarray(sitk.GetArrayFromImage(image)).T


def _unreadable(path: Path, reason: str) -> FileProblem:
    """Choose the sentence that fits ITK's many lines."""
    if "determinant is 0" in reason or "singular" in reason.lower():
        cause = "its direction is singular: two axes point the same way. Repair the header."
    elif "spacing" in reason.lower() and "zero" in reason.lower():
        cause = "its voxel spacing is 0 along an axis, expected mm above 0. Repair the header."
    elif "Unable to determine ImageIO reader" in reason:
        cause = "it is not the kind of file its name says. Export it again."
    elif "No such file" in reason or "trouble" in reason or "read" in reason.lower():
        cause = (
            "it is damaged or truncated, or its separate voxel file is missing. Copy or export "
            "it again."
        )
    else:
        cause = "its header is damaged. Export it again."
    return FileProblem(f"{quoted(path)} cannot be read: {cause}")


@dataclass(frozen=True)
class _StoredVoxels:
    """What a text header says about the bytes of the voxels."""

    sizes: str
    kind: str
    data_file: str
    compressed: bool
    packed_bytes: str = ""

    @property
    def promised(self) -> int | None:
        """Bytes of voxels before compression; None where the header is not understood."""
        parts = self.sizes.split()
        if not parts or not all(part.isdigit() for part in parts):
            return None
        return voxel_count([int(part) for part in parts]) * _bytes_of(self.kind)


def _require_voxel_bytes(path: Path) -> None:
    """Compare what the text header promises with the size of the file that holds the voxels."""
    fields, header_bytes = _text_header(path)
    stated = _nrrd_voxels(fields) if _is_nrrd(path) else _metaimage_voxels(fields)
    if stated is None or stated.promised is None:
        return  # voxels as text, or a header that ITK will refuse itself
    if stated.data_file.upper().startswith("LIST") or "%" in stated.data_file:
        return  # one file per slice
    file = path.parent / stated.data_file if stated.data_file else path
    if not file.is_file():
        raise FileProblem(
            f"{quoted(path)} needs the voxel file '{stated.data_file}', which is missing beside "
            "it. Copy both files."
        )
    stored = file.stat().st_size - (0 if stated.data_file else header_bytes)
    require_stored_bytes(path, stated.promised, stored, stated.compressed)
    if stated.compressed and stated.packed_bytes.isdigit():
        require_stored_bytes(path, int(stated.packed_bytes), stored, compressed=False)


def _is_nrrd(path: Path) -> bool:
    return path.suffix.lower() in (".nrrd", ".nhdr")


def _nrrd_voxels(fields: dict[str, str]) -> _StoredVoxels | None:
    encoding = fields.get("encoding", "raw").lower()
    if encoding not in ("raw", "gzip", "gz"):
        return None
    data_file = fields.get("data file", fields.get("datafile", ""))
    sizes, kind = fields.get("sizes", ""), fields.get("type", "")
    return _StoredVoxels(sizes, kind, data_file, encoding != "raw")


def _metaimage_voxels(fields: dict[str, str]) -> _StoredVoxels | None:
    if fields.get("binarydata", "true").lower() == "false":
        return None
    data_file = fields.get("elementdatafile", "")
    return _StoredVoxels(
        fields.get("dimsize", ""),
        fields.get("elementtype", ""),
        "" if data_file.lower() == "local" else data_file,
        fields.get("compresseddata", "false").lower() == "true",
        fields.get("compresseddatasize", ""),
    )


def _text_header(path: Path) -> tuple[dict[str, str], int]:
    """Return the header's ``key: value`` or ``key = value`` lines, and where they end."""
    fields: dict[str, str] = {}
    nrrd = _is_nrrd(path)
    with path.open("rb") as file:
        for _ in range(10_000):
            line = file.readline(65_536)
            text = line.decode("latin-1").strip()
            if not line or (nrrd and not text):
                break
            key, _, value = text.partition(":" if nrrd else "=")
            fields[key.strip().lower()] = value.strip()
            if not nrrd and key.strip().lower() == "elementdatafile":
                break
        return fields, file.tell()


def _bytes_of(kind: str) -> int:
    """Return the least number of bytes a NRRD or MetaImage voxel type takes."""
    name = kind.lower().removeprefix("met_").replace("_array", "")
    if "double" in name or "64" in name or "long long" in name or "longlong" in name:
        return 8
    if name in ("float", "int", "uint", "long", "ulong") or "32" in name or "unsigned int" in name:
        return 4
    if "short" in name or "16" in name:
        return 2
    return 1
