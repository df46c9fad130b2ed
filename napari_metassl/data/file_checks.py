"""What a file is asked before its voxels are believed: each refusal is one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_metassl.data.geometry import Array, affine_problem
from napari_metassl.errors import FileProblem

DEFLATE_LIMIT = 1032
"""No zlib or gzip stream holds more than this many times its own size."""


class FileNote(UserWarning):
    """Something about a file that the person should know, though it can be read."""


def quoted(path: Path) -> str:
    """Return the file's name in quotes, as every message starts."""
    return f"'{path.name}'"


def require_file(path: Path) -> None:
    """Refuse a missing path, a folder and an empty file."""
    if not path.exists():
        raise FileProblem(f"{quoted(path)} does not exist in '{path.parent}'. Check the path.")
    if path.is_dir():
        raise FileProblem(f"{quoted(path)} is a folder, expected a file. Choose a file inside it.")
    if path.stat().st_size == 0:
        raise FileProblem(f"{quoted(path)} is empty (0 bytes). Copy or export it again.")


def require_volume_shape(path: Path, shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the three file axes of a stored shape, refusing anything that is not a 3D volume."""
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) < 3:
        raise FileProblem(
            f"{quoted(path)} is a {len(sizes)}D image of {times(sizes)} pixels, expected a 3D "
            "volume. Give the file that holds all slices."
        )
    if len(sizes) > 4:
        raise FileProblem(
            f"{quoted(path)} holds vectors or transformations ({times(sizes)}), expected one "
            "number per voxel. Export a scalar image."
        )
    if len(sizes) == 4:
        raise FileProblem(
            f"{quoted(path)} is 4D with {sizes[3]} volumes of {times(sizes[:3])} voxels, expected "
            "one 3D volume. Save each time point or channel as a file of its own."
        )
    if min(sizes) < 1:
        raise FileProblem(
            f"{quoted(path)} promises {times(sizes)} voxels, expected at least one along every "
            "axis. The header is damaged; export the file again."
        )
    i, j, k = sizes
    return i, j, k


def require_memory(path: Path, shape: Sequence[int], bytes_per_voxel: int) -> None:
    """Refuse a volume that cannot be held in the memory that is free now."""
    # Two copies: what was read, and its canonical turn or its scaled values.
    needed = 2 * bytes_per_voxel * voxel_count(shape)
    free = free_memory()
    if needed > free:
        raise FileProblem(
            f"{quoted(path)} promises {times(shape)} voxels, which needs {size_text(needed)} of "
            f"memory where {size_text(free)} is free. If the header is right, crop or resample "
            "the volume first."
        )


def require_stored_bytes(path: Path, promised: int, stored: int, compressed: bool) -> None:
    """Refuse a file too short for the voxels its header promises.

    Parameters
    ----------
    path
        The file, for the message.
    promised, stored
        Bytes of voxels by the header, and bytes there are for them on disk.
    compressed
        Whether the bytes on disk are deflated.
    """
    if promised <= stored * (DEFLATE_LIMIT if compressed else 1):
        return
    raise FileProblem(
        f"{quoted(path)} is truncated: its header promises {size_text(promised)} of voxels but "
        f"only {size_text(stored)} follow. Copy or export it again."
    )


def require_affine(path: Path, affine: npt.ArrayLike) -> None:
    """Refuse a grid that cannot be shown as boxes: sheared, singular, zero spacing, not finite."""
    if problem := affine_problem(affine):
        raise FileProblem(
            f"{quoted(path)} cannot be shown right, because its {problem}. Resample it onto a "
            "straight grid, e.g. in 3D Slicer, or repair the header."
        )


def require_finite(path: Path, data: Array) -> None:
    """Refuse an image in which some voxels are NaN or infinite."""
    if data.dtype.kind != "f":
        return
    wrong = sum(int((~np.isfinite(part)).sum()) for part in data)
    if wrong:
        raise FileProblem(
            f"{quoted(path)} holds {wrong} of {data.size} voxels that are NaN or infinite, "
            "expected numbers. Replace them, e.g. with numpy.nan_to_num, and save it again."
        )


def as_labels(path: Path, data: Array) -> Array:
    """Return label values in the smallest unsigned integer type, refusing what is no label."""
    if data.dtype.kind not in "biuf":
        raise FileProblem(
            f"{quoted(path)} holds {data.dtype} voxels, expected integer labels. Save the label "
            "map as integers."
        )
    if data.dtype.kind == "f":
        require_finite(path, data)
        _require_integers(path, data)
    low, high = (int(data.min()), int(data.max())) if data.size else (0, 0)
    if low < 0:
        raise FileProblem(
            f"{quoted(path)} holds the label {low}, expected labels of 0 (background) and above. "
            "Renumber the labels."
        )
    if high > np.iinfo(np.uint32).max:
        raise FileProblem(
            f"{quoted(path)} holds the label {high}, but label files end at 4294967295. Renumber "
            "the labels."
        )
    return data.astype(np.min_scalar_type(high), copy=False)


def _require_integers(path: Path, data: Array) -> None:
    for part in data:
        fractions = part[part != np.rint(part)]
        if fractions.size:
            raise FileProblem(
                f"{quoted(path)} holds the value {float(fractions[0]):.6g}, expected integer "
                "labels. Choose the label map, or resample it with nearest neighbor."
            )


def smallest_integer_type(low: int, high: int) -> np.dtype[Any] | None:
    """Return the smallest common integer type that holds `low` to `high`, or None."""
    for kind in (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return np.dtype(kind)
    return None


def free_memory() -> int:
    """Return the bytes of memory that can be had without swapping."""
    import psutil  # type: ignore[import-untyped]

    return int(psutil.virtual_memory().available)


def voxel_count(shape: Sequence[int]) -> int:
    """Return the product of the sizes, in Python's unlimited integers."""
    count = 1
    for size in shape:
        count *= int(size)
    return count


def times(shape: Sequence[int]) -> str:
    """Return ``"64 x 64 x 40"``."""
    return " x ".join(str(size) for size in shape)


def size_text(count: float) -> str:
    """Return a number of bytes for reading, e.g. ``"1.5 GB"``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.4g} TB"
