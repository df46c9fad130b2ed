"""What of the corrections was painted by hand, and not taken or confirmed at a site."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from napari_metassl.data.edit_journal import EditRecord


def hand_painted(
    edits: Sequence[EditRecord], actions: Collection[str], value: int
) -> npt.NDArray[np.int64]:
    """Find the voxels that one of `actions` ever gave a value.

    Returns
    -------
    (N,) int64
        Flat indices, ascending; what they hold now may be something else.
    """
    found = [np.zeros(0, np.int64)]
    for edit in edits:
        if edit.action in actions:
            given = np.repeat(edit.runs.values[1] == value, edit.runs.length)
            found.append(edit.runs.voxels[given])
    return np.unique(np.concatenate(found))
