"""An array-like view that looks every voxel up in a small table when it is asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint16]
Table = npt.NDArray[Any]


class TableView:
    """Array-like `last[max_n(tables[n][codes[n]])]`, computed only for what is asked for.

    napari takes it as the data of a Labels or Image layer: showing a slice costs the look-up of
    that slice, and exchanging the tables costs nothing, whatever the size of the volume. The
    layer keeps the same view; after `set_tables` it only needs `refresh()`.

    Parameters
    ----------
    codes : sequence of (Z, Y, X) uint16 arrays
        Not copied. Several are combined by the maximum of what their tables say.
    tables : sequence of (65536,) arrays, one for each of `codes`
        None leaves the codes at its place out.
    last : (65536,) array, optional
        Applied to the result; it then decides the dtype.
    """

    def __init__(
        self, codes: Sequence[Codes], tables: Sequence[Table | None], last: Table | None = None
    ) -> None:
        self._last = last
        self.set_codes_and_tables(codes, tables)

    def set_tables(self, tables: Sequence[Table | None]) -> None:
        """Exchange the tables."""
        self.set_codes_and_tables(self._codes, tables)

    def set_codes_and_tables(self, codes: Sequence[Codes], tables: Sequence[Table | None]) -> None:
        """Look into other codes of the same shape from now on, with other tables."""
        self._codes = tuple(codes)
        # One assignment, so that a slice being read in another thread sees the old or the new.
        self._used = tuple(
            (part, table) for part, table in zip(codes, tables, strict=True) if table is not None
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volume, (Z, Y, X)."""
        return self._codes[0].shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._codes[0].ndim

    @property
    def size(self) -> int:
        """Number of voxels."""
        return self._codes[0].size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values that come out."""
        return np.dtype((self._used[0][1] if self._last is None else self._last).dtype)

    @property
    def nbytes(self) -> int:
        """Bytes the values would take as an array."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._codes[0])

    def __getitem__(self, key: Any) -> Any:
        asked = [(codes[key], table) for codes, table in self._used]
        first = asked[0][0]
        if np.ndim(first) < 3:
            return self._look_up(asked)
        out = np.empty(first.shape, self.dtype)
        for z in range(len(out)):  # numpy widens codes to 8 bytes to look them up: slice by slice
            out[z] = self._look_up([(codes[z], table) for codes, table in asked])
        return out

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("Got copy=False, but a view has no array of its own. Allow the copy.")
        values: npt.NDArray[Any] = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"<TableView {self.shape} {self.dtype}>"

    def _look_up(self, asked: Sequence[tuple[Any, Table]]) -> Any:
        codes, table = asked[0]
        values = np.take(table, codes)
        for codes, table in asked[1:]:
            values = np.maximum(values, np.take(table, codes))
        return values if self._last is None else np.take(self._last, values)
