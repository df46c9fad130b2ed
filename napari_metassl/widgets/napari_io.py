"""What napari calls to open volumes and to save labels; no Qt here.

A medical file rarely says whether it is an image or a label map. It is opened as labels when

1. the file says so (NIfTI intent "label", which this program writes; Slicer's ``.seg.nrrd``), or
2. all voxels are integers of 0 and above, and its name or folder does (``labels/p07.nii.gz``,
   ``labelsTr/``, ``p07_seg.nii.gz``, ``p07-mask.nrrd`` ...), or
3. it is stored as integers with 2 to 16 different values, none below 0.

Everything else is an image. napari converts one into the other from the layer's context menu.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_metassl.data.dicom_io import holds_dicom, is_dicom_file
from napari_metassl.data.file_checks import FileNote, as_labels
from napari_metassl.data.geometry import Array, Geometry
from napari_metassl.data.volume import Volume
from napari_metassl.data.volume_io import (
    declares_labels,
    read_volume,
    volume_stem,
    volume_suffix,
    write_labels,
)
from napari_metassl.errors import FileProblem

LayerTuple = tuple[Any, dict[str, Any], str]
LABEL_WORDS = re.compile(
    r"(?:^|[^a-z])(?:labels?|masks?|seg|segs|segmentations?|annotations?|ground_?truth|gt)"
    r"(?:tr|ts|val)?(?:$|[^a-z])"
)
MOST_LABELS = 16


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerTuple]] | None:
    """Return `read_layers` for a volume, a DICOM folder, or files of one DICOM series.

    Several other files at once are no stack of slices, so they are left to napari.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    if not paths:
        return None
    if len(paths) > 1:
        one_folder = len({one.parent for one in paths}) == 1
        return read_layers if one_folder and all(map(is_dicom_file, paths)) else None
    only = paths[0]
    known = holds_dicom(only) if only.is_dir() else volume_suffix(only) or is_dicom_file(only)
    return read_layers if known else None


def read_layers(path: str | Sequence[str]) -> list[LayerTuple]:
    """Read one volume as one napari layer, with its geometry in the metadata.

    Raises
    ------
    FileProblem
        One sentence, when it cannot be read or shown right.
    """
    first = Path(path if isinstance(path, str) else path[0])
    volume = read_volume(first)
    if is_label_map(first, volume):
        return [labels_layer(Volume(volume.name, as_labels(first, volume.data), volume.geometry))]
    return [image_layer(volume)]


def write_labels_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write a labels layer, on the grid of the file it came from where it came from one.

    Parameters
    ----------
    path
        Ends in ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha``.
    data
        (Z, Y, X) labels.
    attributes
        The layer's; ``metadata["geometry"]`` holds the grid.

    Returns
    -------
    list of str
        The path written, as napari expects.

    Raises
    ------
    OSError
        One sentence. Not a `FileProblem`: napari takes any ValueError of a writer for "no writer
        knows this file" and drops what it says.
    """
    try:
        return [str(_write(Path(path), np.asarray(data), attributes))]
    except FileProblem as problem:
        raise OSError(str(problem)) from problem


def _write(path: Path, labels: Array, attributes: Mapping[str, Any]) -> Path:
    if labels.ndim != 3:
        raise FileProblem(
            f"The labels layer has {labels.ndim} dimensions, expected 3 (z, y, x). Save one volume "
            "at a time."
        )
    geometry = (attributes.get("metadata") or {}).get("geometry")
    if not isinstance(geometry, Geometry):
        geometry = _geometry_of_layer(labels, attributes)
    return write_labels(path, labels, geometry)


def is_label_map(path: Path, volume: Volume) -> bool:
    """Decide between labels and image by the rules at the top of this module."""
    data = volume.data
    if data.dtype.kind == "f":
        return _named_labels(path) and bool((data >= 0).all() and (data == np.rint(data)).all())
    if data.size == 0 or int(data.min()) < 0:
        return False
    if _named_labels(path) or (path.is_file() and declares_labels(path)):
        return True
    return 2 <= _distinct_values(data) <= MOST_LABELS


def image_layer(volume: Volume, **changes: Any) -> LayerTuple:
    """Return a volume as napari image layer data."""
    look = {"colormap": "gray", "contrast_limits": contrast_limits(volume.data)}
    return volume.data, volume.layer_kwargs() | look | changes, "image"


def labels_layer(volume: Volume, **changes: Any) -> LayerTuple:
    """Return a label map as napari labels layer data."""
    return volume.data, volume.layer_kwargs() | changes, "labels"


def contrast_limits(data: Array) -> tuple[float, float]:
    """Return limits that a few extreme voxels do not decide, from a sample of the volume."""
    step = max(1, round((data.size / 2e5) ** (1 / 3)))
    sample = data[::step, ::step, ::step]
    low, high = (float(value) for value in np.percentile(sample, (0.5, 99.8)))
    return (low, high) if high > low else (low, low + 1.0)


def _named_labels(path: Path) -> bool:
    stem, folder = volume_stem(path).lower(), path.resolve().parent.name.lower()
    return bool(LABEL_WORDS.search(stem) or LABEL_WORDS.search(folder))


def _distinct_values(data: Array) -> int:
    """Count different values, giving up (a large number) where their range is wide."""
    low, high = int(data.min()), int(data.max())
    if high - low > 1000:
        return high - low
    return len(np.unique(data))


def _geometry_of_layer(labels: Array, attributes: Mapping[str, Any]) -> Geometry:
    """Place a layer without a file by its scale, translation and units."""
    warnings.warn(
        "The labels layer carries no geometry of a file, so it is saved with the layer's own scale "
        "and the axes (z, y, x) taken as (superior, posterior, left).",
        FileNote,
        stacklevel=3,
    )
    units = attributes.get("units") or ("mm",) * 3
    to_mm = np.array([_millimeters(unit) for unit in units])[-3:]
    scale = np.asarray(attributes.get("scale", (1, 1, 1)), dtype=float)[-3:] * to_mm
    origin = np.asarray(attributes.get("translate", (0, 0, 0)), dtype=float)[-3:] * to_mm
    return Geometry.from_spacing(scale.tolist(), labels.shape, origin.tolist())


def _millimeters(unit: Any) -> float:
    """Return how many mm a unit of napari (pint) is; a pixel counts as 1 mm."""
    import pint

    try:
        return float(pint.Quantity(1.0, str(unit)).to("millimeter").magnitude)
    except (pint.DimensionalityError, pint.UndefinedUnitError):
        return 1.0
