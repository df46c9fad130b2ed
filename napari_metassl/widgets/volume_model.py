"""The project's volumes as rows: what a cell says, which are listed, and in what order."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QWidget

from napari_metassl.data.volume_queue import Quality, QueueEntry, VolumeQueue, VolumeStatus
from napari_metassl.widgets.theme import Palette

NAME, ROLE, STATUS, DIFFER, QUALITY, EDITED = range(6)
HEADERS = ("Volume", "Role", "Status", "Differ", "Quality", "Edited")
TIPS = (
    "Name of the volume",
    "Labeled to train on, validation to measure on; the others are unlabeled",
    "How far the volume is: unpredicted, predicted, in review, reviewed",
    "Voxels on which the networks differ, in percent of those that either gives a structure. "
    "The more, the worse the prediction",
    "Mean Dice: ≈ predicted, or measured against the manual label. The worst first",
    "When a person last changed the volume",
)
ROLE_TEXTS = {"labeled": "labeled", "validation": "valid.", "unlabeled": ""}
FILTERS: dict[str, frozenset[str]] = {
    "All": frozenset(),
    "To review": frozenset({"predicted", "in review", "older pair"}),
    "Reviewed": frozenset({"reviewed"}),
    "Unpredicted": frozenset({"unpredicted", "older pair", "damaged"}),
    "Unlabeled": frozenset({"unlabeled"}),
    "Labeled": frozenset({"labeled"}),
    "Validation": frozenset({"validation"}),
}
"""Statuses or roles that a choice lets through; none: all of them."""
ORDER = list(VolumeStatus)


class VolumeModel(QAbstractTableModel):
    """The rows; sorting and filtering are done here, since a thousand volumes must not be felt.

    Attributes
    ----------
    entries, qualities
        Of the volumes listed, row by row.
    ranks
        Place of every volume by quality, 1 being the worst.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries: list[QueueEntry] = []
        self.qualities: list[Quality] = []
        self.ranks: dict[str, int] = {}
        self.palette: Palette | None = None
        self._queue = VolumeQueue()
        self._text, self._choice = "", "All"
        self._column, self._descending = QUALITY, False

    def show(self, queue: VolumeQueue) -> None:
        """Exchange the volumes; they are sorted and filtered as before."""
        self._queue = queue
        self._list()

    def choose(self, text: str, choice: str) -> None:
        """List volumes whose name holds `text`, of a status or role."""
        self._text, self._choice = text.strip().lower(), choice
        self._list()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what is unknown is last, whichever way is up."""
        self._column, self._descending = column, order == Qt.SortOrder.DescendingOrder
        self._list()

    def names(self) -> tuple[str, ...]:
        """Names of the volumes as they are listed."""
        return tuple(entry.name for entry in self.entries)

    def longest(self, column: int) -> str:
        """Return the longest text of a column, to fit it."""
        rows = zip(self.entries, self.qualities, strict=True)
        return max((self._cell(column, *row) for row in rows), key=len, default="")

    def _list(self) -> None:
        quality = {name: self._queue.quality(e) for name, e in self._queue.entries.items()}
        known = [(q.order, name) for name, q in quality.items() if q.order is not None]
        self.ranks = {name: n for n, (_, name) in enumerate(sorted(known), start=1)}
        before = self.names()
        kept = [e for e in self._queue.entries.values() if self._is_wanted(e)]
        keys = {e.name: _sort_key(self._column, e, quality[e.name]) for e in kept}
        sure = [e for e in kept if keys[e.name] is not None]
        sure.sort(key=lambda entry: keys[entry.name], reverse=self._descending)
        entries = [*sure, *(e for e in kept if keys[e.name] is None)]
        same = before == tuple(entry.name for entry in entries)
        if not same:
            self.beginResetModel()
        self.entries, self.qualities = entries, [quality[entry.name] for entry in entries]
        if not same:
            self.endResetModel()
        elif entries:
            self.dataChanged.emit(self.index(0, 0), self.index(len(entries) - 1, EDITED))

    def _is_wanted(self, entry: QueueEntry) -> bool:
        wanted = FILTERS[self._choice]
        return self._text in entry.name.lower() and (
            not wanted or entry.role in wanted or str(entry.status) in wanted
        )

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Count the volumes."""
        return 0 if parent.isValid() else len(self.entries)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Count the columns."""
        return 0 if parent.isValid() else len(HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: N802
        """Title and meaning of a column."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return HEADERS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return TIPS[section]
        return _alignment(section) if role == Qt.ItemDataRole.TextAlignmentRole else None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, meaning, alignment and colour of a cell."""
        entry, quality = self.entries[index.row()], self.qualities[index.row()]
        column = index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._cell(column, entry, quality)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(column, entry, quality)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.ForegroundRole and self.palette is not None:
            return QBrush(QColor(self._ink(column, entry, quality, self.palette)))
        return None

    def _cell(self, column: int, entry: QueueEntry, quality: Quality) -> str:
        if column == QUALITY:
            return _quality_text(quality, self.ranks.get(entry.name))
        share = None if entry.figures is None else entry.figures.discrepant_share
        return {
            NAME: entry.name,
            ROLE: ROLE_TEXTS[entry.role],
            STATUS: str(entry.status),
            DIFFER: "" if share is None else f"{100 * share:.1f} %",
            EDITED: "" if entry.edited is None else short_time(entry.edited),
        }[column]

    def _tip(self, column: int, entry: QueueEntry, quality: Quality) -> str:
        if entry.problem:
            return entry.problem
        if column == STATUS and entry.progress is not None:
            done = f"{entry.progress.done} of {entry.progress.sites} sites reviewed, "
            return f"{done}{entry.progress.voxels:,} voxels corrected or confirmed"
        if column == STATUS and entry.status is VolumeStatus.OUTDATED:
            return "Predicted by another pair than the one in use; predict again to follow it."
        if column == QUALITY:
            return _quality_tip(entry, quality, self.ranks)
        if column == EDITED and entry.edited is not None:
            return f"{entry.edited.astimezone():%Y-%m-%d %H:%M}"
        return {NAME: entry.name, ROLE: entry.role}.get(column, TIPS[column])

    def _ink(self, column: int, entry: QueueEntry, quality: Quality, palette: Palette) -> str:
        if column == STATUS:
            return {
                VolumeStatus.REVIEWED: palette.good,
                VolumeStatus.OUTDATED: palette.warning,
                VolumeStatus.DAMAGED: palette.bad,
                VolumeStatus.UNPREDICTED: palette.muted,
            }.get(entry.status, palette.text)
        guessed = column == QUALITY and (quality.dice is None or quality.error is not None)
        return palette.muted if column in (ROLE, EDITED) or guessed else palette.text


def short_time(moment: datetime) -> str:
    """When something happened, as short as it is clear: today the time, else the day."""
    here, now = moment.astimezone(), datetime.now().astimezone()
    if here.date() == now.date():
        return f"{here:%H:%M}"
    return f"{here.day} {here:%b}" if here.year == now.year else f"{here:%Y-%m}"


def _sort_key(column: int, entry: QueueEntry, quality: Quality) -> Any:
    if column == NAME:
        return entry.name.lower()
    if column == ROLE:
        return entry.role
    if column == STATUS:
        return ORDER.index(entry.status)
    if column == DIFFER:
        return None if entry.figures is None else entry.figures.discrepant_share
    if column == QUALITY:
        return quality.order
    return None if entry.edited is None else entry.edited.timestamp()


def _quality_text(quality: Quality, rank: int | None) -> str:
    if quality.dice is not None:
        return f"{quality.dice:.3f}" if quality.error is None else f"≈ {quality.dice:.2f}"
    return "" if rank is None else f"rank {rank}"


def _quality_tip(entry: QueueEntry, quality: Quality, ranks: dict[str, int]) -> str:
    rank = ranks.get(entry.name)
    if rank is None or entry.figures is None:
        return TIPS[QUALITY]
    said = [f"Number {rank} of {len(ranks)}, 1 being the worst"]
    if (dice := entry.figures.mean_dice) is not None:
        said.append(f"mean Dice {dice:.3f} measured against the manual label")
    elif quality.dice is not None:
        said.append(
            f"predicted mean Dice {quality.dice:.2f}, off by {quality.error:.2f} on average "
            "where it can be checked"
        )
    return "; ".join(said)


def _alignment(column: int) -> Qt.AlignmentFlag:
    right = column in (DIFFER, QUALITY, EDITED)
    side = Qt.AlignmentFlag.AlignRight if right else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
