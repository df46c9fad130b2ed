"""What people did to one volume: sparse labels, provenance, and the journal that keeps both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_metassl.data.edit_journal import EditJournal, EditRecord, read_journal
from napari_metassl.data.edit_runs import EditRuns
from napari_metassl.data.names import check_name
from napari_metassl.data.table_view import TableView
from napari_metassl.errors import ProjectProblem

BACKGROUND_MARK = 255
"""Value of the corrections layer for background, said by a person (0 is: not touched)."""

_TRAINING_LABEL = np.arange(256, dtype=np.int16)
_TRAINING_LABEL[0] = -1
_TRAINING_LABEL[BACKGROUND_MARK] = 0

Bytes = npt.NDArray[np.uint8]
Region = tuple[slice | int, ...]


class Provenance(IntEnum):
    """Where the label of a voxel comes from."""

    PREDICTED = 0
    CONFIRMED = 1
    """A person saw what was predicted and left it."""
    CORRECTED = 2
    """A person changed what was predicted."""
    MANUAL = 3
    """From the volume's manual label file; in exports only."""


PROVENANCE_COLORS: Mapping[Provenance, str] = {
    Provenance.CONFIRMED: "#009e73",
    Provenance.CORRECTED: "#e69f00",
    Provenance.MANUAL: "#8a8a8a",
}
"""From Okabe and Ito's palette as the regions, but none of theirs; what is predicted has none."""


_WITHOUT_PREDICTION = np.full(256, Provenance.CORRECTED, np.uint8)
_WITHOUT_PREDICTION[0] = Provenance.PREDICTED


class Corrections:
    """Corrections of one volume, every edit of which is on disk.

    Edit `labels` in place in any way, then call `record`: it finds what changed since the last
    call, so brushes, bulk actions and undo are all kept. Use `open` to make one.

    Attributes
    ----------
    labels : (Z, Y, X) uint8
        0 not touched, k in 1..127 class k, 255 background. This very array is the data of the
        corrections layer; it is never exchanged.
    provenance : (Z, Y, X) uint8
        `Provenance` of every voxel.
    notices : tuple of str
        What the person should know about the state the journal was found in.
    recovered : tuple of EditRecord
        Edits of a session that was killed before it could close; none after one that ended well.
    """

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        edits: Sequence[EditRecord],
        journal: EditJournal | None = None,
    ) -> None:
        self.name = name
        self.labels: Bytes = np.zeros(tuple(shape), np.uint8)
        self.provenance: Bytes = np.zeros(tuple(shape), np.uint8)
        self._counts = np.zeros(256, np.int64)
        self._counts[Provenance.PREDICTED] = self.labels.size
        for edit in edits:
            edit.runs.apply(self.labels, self.provenance)
            self._count(edit.runs)
        self.notices: tuple[str, ...] = () if journal is None else tuple(journal.notices)
        self._edits = edits
        self._journal = journal
        self._committed: Bytes = self.labels.copy()
        self._unwritten = False
        count = 0 if journal is None else journal.recovered_edits
        self.recovered: tuple[EditRecord, ...] = tuple(edits[len(edits) - count :])

    @classmethod
    def open(
        cls, folder: Path, name: str, shape: Sequence[int], *, writable: bool = True
    ) -> Corrections:
        """Replay the journal of volume `name` in `folder`; begin one if there is none.

        With `writable=False` nothing on disk is touched, and another window may go on editing.

        Raises
        ------
        ProjectProblem
            If the journal is open elsewhere, or is of a volume of another shape.
        """
        path = journal_path(folder, name)
        if not writable:
            return cls(name, shape, read_journal(path, shape).edits)
        journal = EditJournal(path, name, shape)
        return cls(name, shape, journal.edits, journal)

    @staticmethod
    def exist(folder: Path, name: str) -> bool:
        """Whether volume `name` has a journal in `folder`."""
        return journal_path(folder, name).exists()

    @property
    def history(self) -> tuple[EditRecord, ...]:
        """All edits ever made, oldest first, those taken back included."""
        return tuple(self._edits)

    def voxels_of(self, provenance: Provenance) -> int:
        """How many voxels are of a provenance; counted edit by edit, so it costs nothing."""
        return int(self._counts[provenance])

    @property
    def touched(self) -> npt.NDArray[np.bool_]:
        """Voxels a person confirmed or corrected, (Z, Y, X) bool."""
        touched: npt.NDArray[np.bool_] = self.labels != 0
        return touched

    @property
    def closed(self) -> bool:
        """Whether `record` can no longer be called."""
        return self._journal is None or self._journal.closed

    def record(
        self,
        action: str,
        region: Region | None = None,
        predicted: npt.NDArray[Any] | TableView | None = None,
        *,
        who: str | None = None,
    ) -> int:
        """Write what changed in `labels` since the last call to the disk; one journal record.

        Parameters
        ----------
        action
            What was done, for the history: ``"paint"``, ``"take A"`` ...
        region
            Where to look, one slice or index per axis; the whole volume if not given.
        predicted : (Z, Y, X) array or view
            Where the new label is what was predicted the voxel counts as confirmed, elsewhere as
            corrected. Without it everything counts as corrected.

        Returns
        -------
        int
            Number of voxels changed; without a change nothing is written.

        Raises
        ------
        ProjectProblem
            If it could not be written. Nothing is lost: the next call writes it too.
        """
        journal = self._writable()
        looked_at = None if self._unwritten else region
        voxels = _changed_voxels(self.labels, self._committed, looked_at)
        if not len(voxels):
            return 0
        after = self.labels.reshape(-1)[voxels]
        values = np.stack(
            [
                self._committed.reshape(-1)[voxels],
                after,
                self.provenance.reshape(-1)[voxels],
                self._provenance_of(after, voxels, predicted),
            ]
        )
        self._commit(journal, action, EditRuns.from_voxels(voxels, values), who)
        return len(voxels)

    def undo_last(self, *, who: str | None = None) -> int:
        """Take the last edit back that was not taken back yet, of an earlier session too.

        The journal only grows: a record that does the opposite is appended. Returns the number
        of voxels that changed, 0 when there is nothing to take back.
        """
        journal = self._writable()
        self.record("edit", who=who)
        standing = _standing(self._edits)
        if not standing:
            return 0
        runs = standing[-1].runs.reversed()
        action = f"undo {standing[-1].action}"
        self._commit(journal, action, runs, who, undoes=standing[-1].seq)
        return runs.count

    def as_training_labels(self) -> npt.NDArray[np.int16]:
        """Labels to train on, (Z, Y, X) int16: -1 where nobody said anything."""
        return _TRAINING_LABEL[self.labels]

    def close(self) -> None:
        """Record what is not recorded yet, and give the journal free."""
        if not self.closed:
            try:
                self.record("edit")
            finally:
                self._writable().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _writable(self) -> EditJournal:
        if self._journal is None:
            raise ProjectProblem(
                f"The corrections of '{self.name}' are open for reading only. Open them writable."
            )
        return self._journal

    def _commit(
        self,
        journal: EditJournal,
        action: str,
        runs: EditRuns,
        who: str | None,
        undoes: int | None = None,
    ) -> None:
        """To the disk first; memory follows."""
        self._unwritten = True
        journal.append(action, runs, who=who, undoes=undoes)
        self._unwritten = False
        runs.apply(self.labels, self.provenance)
        runs.apply(self._committed, self.provenance)
        self._count(runs)

    def _count(self, runs: EditRuns) -> None:
        for values, sign in ((runs.values[2], -1), (runs.values[3], 1)):
            found = np.bincount(values, weights=runs.length, minlength=len(self._counts))
            self._counts += sign * found.astype(np.int64)

    def _provenance_of(
        self,
        after: Bytes,
        voxels: npt.NDArray[np.int64],
        predicted: npt.NDArray[Any] | TableView | None,
    ) -> Bytes:
        provenance = np.take(_WITHOUT_PREDICTION, after)
        if predicted is not None:
            said = predicted[np.unravel_index(voxels, self.labels.shape)]
            # Erased voxels stay as they are: -1 is never predicted.
            provenance[np.take(_TRAINING_LABEL, after) == said] = Provenance.CONFIRMED
        return provenance


def _standing(edits: Sequence[EditRecord]) -> list[EditRecord]:
    """Return the edits that were not taken back, whoever took the others back."""
    standing: list[EditRecord] = []
    for edit in edits:
        if edit.undoes is not None:
            standing = [before for before in standing if before.seq != edit.undoes]
        elif edit.action != "undo":
            standing.append(edit)
        elif standing:
            standing.pop()  # the viewer's undo does not say which, but it is the last one
    return standing


def holds_edits(folder: Path, name: str) -> bool:
    """Whether the journal of a volume holds more than its first line, which says whose it is."""
    try:
        with journal_path(folder, name).open("rb") as journal:
            return bool(journal.readline()) and bool(journal.readline())
    except OSError:
        return False


def journal_path(folder: Path, name: str) -> Path:
    """Where the journal of volume `name` is kept."""
    return folder / f"{check_name(name)}.jsonl"


def combine_labels(
    manual: npt.NDArray[Any] | None, corrections: Corrections | None
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_] | None] | None:
    """Labels to train on from manual labels and corrections, which win.

    Returns
    -------
    label : (Z, Y, X) int16
        -1 where there is neither.
    corrected : (Z, Y, X) bool, or None if nothing was corrected
    None
        If there is nothing at all.
    """
    touched = None if corrections is None else corrections.touched
    if corrections is None or touched is None or not touched.any():
        return None if manual is None else (manual.astype(np.int16), None)
    said = corrections.as_training_labels()
    if manual is None:
        return said, touched
    if manual.shape != said.shape:
        raise ProjectProblem(
            f"Labels have shape {manual.shape} but the corrections of '{corrections.name}' have "
            f"{said.shape}. Resample the labels first."
        )
    return np.where(touched, said, manual.astype(np.int16)), touched


def _changed_voxels(
    labels: Bytes, committed: Bytes, region: Region | None
) -> npt.NDArray[np.int64]:
    """Flat indices of the voxels that differ, ascending."""
    box = _box(region, labels.shape)
    changed = [
        z
        for z in range(box[0].start, box[0].stop)
        if not np.array_equal(labels[z, box[1], box[2]], committed[z, box[1], box[2]])
    ]
    found = [np.zeros(0, np.int64)]
    for z in changed:
        y, x = np.nonzero(labels[z, box[1], box[2]] != committed[z, box[1], box[2]])
        at = np.full(len(y), z), y + box[1].start, x + box[2].start
        found.append(np.ravel_multi_index(at, labels.shape).astype(np.int64))
    return np.concatenate(found)


def _box(region: Region | None, shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """`region` as three slices inside `shape`."""
    asked = (slice(None),) * 3 if region is None else tuple(region)
    if len(asked) != 3:
        raise ProjectProblem(
            f"Got a region of {len(asked)} axes, expected 3 (Z, Y, X). Give one slice for each."
        )
    inside = []
    for part, size in zip(asked, shape, strict=True):
        one = part if isinstance(part, slice) else slice(part, part + 1)
        start, stop, _ = slice(one.start, one.stop).indices(size)
        inside.append(slice(start, max(start, stop)))
    z, y, x = inside
    return z, y, x
