"""The voxels of one edit as runs: neighbours along x that changed in the same way."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EditRuns:
    """Old and new values of N voxels as R runs.

    Attributes
    ----------
    start : (R,) int64
        Flat index of the first voxel of every run, ascending.
    length : (R,) int64
    values : (4, R) uint8
        Label before and after, provenance before and after.
    """

    start: Indices
    length: Indices
    values: Bytes

    @classmethod
    def from_voxels(cls, voxels: Indices, values: Bytes) -> EditRuns:
        """Join voxels, (N,) flat and ascending, with `values` (4, N) into runs."""
        if not len(voxels):
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((4, 0), np.uint8))
        breaks = (np.diff(voxels) != 1) | (np.diff(values, axis=1) != 0).any(axis=0)
        first = np.concatenate([[0], np.flatnonzero(breaks) + 1])
        length = np.diff(np.append(first, len(voxels)))
        return cls(voxels[first], length, values[:, first])

    @property
    def voxels(self) -> Indices:
        """Flat indices of all voxels, (N,) ascending."""
        before = np.cumsum(self.length) - self.length  # voxels in the runs before each one
        voxels: Indices = np.arange(self.count) + np.repeat(self.start - before, self.length)
        return voxels

    @property
    def count(self) -> int:
        """Number of voxels."""
        return int(self.length.sum())

    def reversed(self) -> EditRuns:
        """Return the edit that takes this one back."""
        return EditRuns(self.start, self.length, self.values[[1, 0, 3, 2]])

    def apply(self, labels: Bytes, provenance: Bytes) -> None:
        """Write the values after the edit into two volumes, in place."""
        voxels = self.voxels
        labels.reshape(-1)[voxels] = np.repeat(self.values[1], self.length)
        provenance.reshape(-1)[voxels] = np.repeat(self.values[3], self.length)

    def encode(self) -> str:
        """Text of the runs: zlib and base64 of steps between starts, lengths and values."""
        steps = np.diff(self.start, prepend=0).astype("<i8")
        raw = steps.tobytes() + self.length.astype("<i8").tobytes() + self.values.tobytes()
        return base64.b64encode(zlib.compress(raw, 1)).decode("ascii")

    @classmethod
    def decode(cls, text: str, voxels: int) -> EditRuns:
        """Read what `encode` wrote for a volume of `voxels` voxels.

        Raises
        ------
        ValueError
            If it is no such text, or reaches outside the volume.
        """
        try:
            unpacker = zlib.decompressobj()
            raw = unpacker.decompress(base64.b64decode(text, validate=True), 20 * voxels + 1)
        except (zlib.error, ValueError) as error:
            raise ValueError(f"The runs of an edit cannot be unpacked ({error}).") from error
        runs, rest = divmod(len(raw), 20)  # 8 bytes of start, 8 of length, 4 of values
        if rest or unpacker.unconsumed_tail:
            raise ValueError(f"The runs of an edit take {len(raw)} bytes, no multiple of 20.")
        steps = np.frombuffer(raw, "<i8", runs).astype(np.int64)
        length = np.frombuffer(raw, "<i8", runs, 8 * runs).astype(np.int64)
        values = np.frombuffer(raw, np.uint8, 4 * runs, 16 * runs).reshape(4, runs)
        start = np.cumsum(steps)
        if not _inside(start, length, voxels):
            raise ValueError(f"The runs of an edit reach outside a volume of {voxels} voxels.")
        return cls(start, length, values)


def _inside(start: Indices, length: Indices, voxels: int) -> bool:
    """Whether the runs ascend without overlap from 0 to `voxels`."""
    if not len(start):
        return True
    ends: npt.NDArray[Any] = start + length
    return bool(
        start.min() >= 0
        and length.min() >= 1
        and length.max() <= voxels
        and ends.max() <= voxels
        and (start[1:] >= ends[:-1]).all()
    )
