"""A slice of a volume: an axis and a place on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Plane:
    """The slice perpendicular to an axis of the array (0, 1, 2 for z, y, x) at a place on it."""

    axis: int
    position: int

    def flat(self, places: npt.NDArray[np.int64], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """Flat indices, ascending, of places (3, N) whose first coordinate is along the axis."""
        in_order = np.insert(places[1:], self.axis, places[0], axis=0)
        flat: npt.NDArray[np.int64] = np.sort(np.ravel_multi_index(tuple(in_order), shape))
        return flat

    def places(
        self, voxels: npt.NDArray[np.int64], shape: tuple[int, ...]
    ) -> npt.NDArray[np.int64]:
        """Places (3, N) of flat indices, the coordinate along the axis first."""
        in_order = np.stack(np.unravel_index(voxels, shape)).astype(np.int64)
        others = [k for k in range(3) if k != self.axis]
        found: npt.NDArray[np.int64] = in_order[[self.axis, *others]]
        return found
