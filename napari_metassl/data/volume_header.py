"""The place and size of a volume from its header alone, without reading a voxel."""

from __future__ import annotations

import warnings
from pathlib import Path

from napari_metassl.data.file_checks import FileNote, require_affine, require_file
from napari_metassl.data.file_checks import require_volume_shape as require_shape
from napari_metassl.data.geometry import Geometry, affine_from_itk
from napari_metassl.data.itk_io import open_header, require_scalar_volume, stated_space
from napari_metassl.data.nifti_io import _geometry as nifti_geometry
from napari_metassl.data.nifti_io import _open as open_nifti
from napari_metassl.data.volume_io import ITK_SUFFIXES, NIFTI_SUFFIXES, read_volume, volume_suffix


def read_geometry(path: Path) -> Geometry:
    """Read the geometry of a file, or of a DICOM folder (which has to be read whole).

    Raises
    ------
    FileProblem
        When the header cannot be read or describes nothing that can be shown right.
    """
    suffix = volume_suffix(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FileNote)  # said again when the voxels are read
        if path.is_dir() or suffix not in (*NIFTI_SUFFIXES, *ITK_SUFFIXES):
            return read_volume(path).geometry
        require_file(path)
        if suffix in NIFTI_SUFFIXES:
            header = open_nifti(path).header
            return nifti_geometry(path, header, require_shape(path, header.get_data_shape()))
        reader = open_header(path)
        shape = require_scalar_volume(path, reader)
        space = stated_space(reader)
        require_affine(path, affine_from_itk(space))
        return Geometry.from_file(affine_from_itk(space), shape, space)
