"""Pictures of slices for a printed page: the image with the outlines of its classes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_metassl.data.final_segmentation import FinalSegmentation

WIDTH = 420
"""Pixels of a picture from left to right."""
MARGIN_MM = 15.0

Plane = npt.NDArray[Any]
Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class SlicePicture:
    """One slice before and after, as PNG.

    Attributes
    ----------
    z
        Index of the slice in the canonical array.
    changed
        Voxels of it whose label was changed.
    width, height
        In pixels, both pictures.
    """

    z: int
    changed: int
    width: int
    height: int
    before: bytes
    after: bytes


def slice_pictures(
    image: npt.NDArray[Any], final: FinalSegmentation, colors: Sequence[str], limit: int = 3
) -> list[SlicePicture]:
    """Draw the most telling slices of a (Z, Y, X) image, from the lowest to the highest."""
    changed = (final.before != final.labels).sum((1, 2))
    found = []
    for z in sorted(_telling_slices(final, changed, limit)):
        box = _box(final, z)
        before, after = (
            _drawn(image[z][box], labels[z][box], final.geometry.spacing[1:], colors)
            for labels in (final.before, final.labels)
        )
        height, width = before.shape[:2]
        found.append(SlicePicture(z, int(changed[z]), width, height, png_of(before), png_of(after)))
    return found


def png_of(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) pixels as PNG."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # every line begins with its filter, 0
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _telling_slices(final: FinalSegmentation, changed: Plane, limit: int) -> list[int]:
    """Slices with most changes, kept apart; where nothing changed, the one with most labels."""
    if not changed.any():
        return [int((final.labels != 0).sum((1, 2)).argmax())]
    apart = max(1, len(changed) // 12)
    chosen: list[int] = []
    for z in np.argsort(-changed, kind="stable"):
        if changed[z] and all(abs(int(z) - other) >= apart for other in chosen):
            chosen.append(int(z))
        if len(chosen) == limit:
            break
    return chosen


def _box(final: FinalSegmentation, z: int) -> Box:
    """Rows and columns around everything labeled in a slice, with a margin."""
    seen = (final.before[z] != 0) | (final.labels[z] != 0)
    if not seen.any():
        return slice(None), slice(None)
    parts = []
    for axis, step in ((1, final.geometry.spacing[1]), (0, final.geometry.spacing[2])):
        along = np.flatnonzero(seen.any(axis))
        margin = int(np.ceil(MARGIN_MM / step))
        parts.append(slice(max(0, int(along[0]) - margin), int(along[-1]) + 1 + margin))
    return parts[0], parts[1]


def _drawn(
    image: Plane, labels: Plane, spacing: Sequence[float], colors: Sequence[str]
) -> npt.NDArray[np.uint8]:
    """Grey image with outlines, enlarged to square pixels, (H, W, 3)."""
    pixel = image.shape[1] * spacing[1] / WIDTH
    rows = _nearest(image.shape[0], spacing[0] / pixel)
    columns = _nearest(image.shape[1], spacing[1] / pixel)
    place = np.ix_(rows, columns)
    low, high = np.percentile(image, (0.5, 99.5))
    grey = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1) * 255
    pixels = np.repeat(grey[place].astype(np.uint8)[..., None], 3, axis=2)
    large = labels[place]
    for k in np.unique(labels):
        if 0 < k < len(colors):
            red, green, blue = (int(colors[k][i : i + 2], 16) for i in (1, 3, 5))
            pixels[_outline(large == k)] = red, green, blue
    return pixels


def _nearest(size: int, scale: float) -> npt.NDArray[np.intp]:
    wanted = max(1, round(size * scale))
    return np.minimum(((np.arange(wanted) + 0.5) / scale).astype(np.intp), size - 1)


def _outline(inside: npt.NDArray[np.bool_], width: int = 2) -> npt.NDArray[np.bool_]:
    """Pixels of a shape that lie within `width` of its border."""
    core = np.pad(inside, 1)
    for _ in range(width):
        shrunk = core.copy()
        for axis in (0, 1):
            for by in (-1, 1):
                shrunk &= np.roll(core, by, axis)
        core = shrunk
    return inside & ~core[1:-1, 1:-1]
