"""The table of the project's volumes, worst first: role, status, disagreement, quality."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QSignalBlocker,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtGui import QBrush, QColor, QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

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
NARROWEST_NAME = 60
HEADER_MARGIN = 18
"""Room for the arrow of the column sorted by."""
SORT_ROLE = Qt.ItemDataRole.UserRole
ORDER = list(VolumeStatus)


class VolumeModel(QAbstractTableModel):
    """The queue as Qt wants it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries: list[QueueEntry] = []
        self.qualities: list[Quality] = []
        self.ranks: dict[str, int] = {}
        self.palette: Palette | None = None

    def show(self, queue: VolumeQueue) -> None:
        """Exchange what is listed; the rows stay where the volumes are the same."""
        entries = list(queue.entries.values())
        same = [entry.name for entry in entries] == [entry.name for entry in self.entries]
        if not same:
            self.beginResetModel()
        self.entries = entries
        self.qualities = [queue.quality(entry) for entry in entries]
        known = [
            (quality.order, entry.name)
            for entry, quality in zip(entries, self.qualities, strict=True)
            if quality.order is not None
        ]
        self.ranks = {name: n for n, (_, name) in enumerate(sorted(known), start=1)}
        if same and entries:
            self.dataChanged.emit(self.index(0, 0), self.index(len(entries) - 1, EDITED))
        elif not same:
            self.endResetModel()

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
        """Text, sort key, meaning, alignment and colour of a cell."""
        entry, quality = self.entries[index.row()], self.qualities[index.row()]
        column = index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(column, entry, quality)
        if role == SORT_ROLE:
            return _sort_key(column, entry, quality)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(column, entry, quality)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(column)
        if role == Qt.ItemDataRole.ForegroundRole and self.palette is not None:
            return QBrush(QColor(self._ink(column, entry, quality, self.palette)))
        return None

    def _text(self, column: int, entry: QueueEntry, quality: Quality) -> str:
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


class VolumeFilter(QSortFilterProxyModel):
    """Sorts by a column, what is unknown always last, and keeps what is asked for."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = ""
        self.choice = "All"
        self.setSortRole(SORT_ROLE)

    def choose(self, text: str, choice: str) -> None:
        """Keep volumes whose name or role holds `text`, of a status or role."""
        self.text, self.choice = text.strip().lower(), choice
        self.invalidateFilter()

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:  # noqa: N802
        """Whether a volume is kept."""
        entry = self.sourceModel().entries[row]
        wanted = FILTERS[self.choice]
        return self.text in entry.name.lower() and (
            not wanted or entry.role in wanted or str(entry.status) in wanted
        )

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:  # noqa: N802
        """Compare two cells; an unknown one is the last, whichever way is up."""
        a, b = left.data(SORT_ROLE), right.data(SORT_ROLE)
        if a is None or b is None:
            descending = self.sortOrder() == Qt.SortOrder.DescendingOrder
            return (a is None and b is not None) if descending else (a is not None and b is None)
        return bool(a < b)


class VolumeTable(QTableView):
    """The list; a click or the arrow keys show the volume, its header sorts."""

    chosen = Signal(str)
    ordered = Signal(object)
    """Names as they are listed, whenever they may have changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.volumes = VolumeModel(self)
        self.listed = VolumeFilter(self)
        self.listed.setSourceModel(self.volumes)
        self.setModel(self.listed)
        self._set_look()
        self.setSortingEnabled(True)
        self.sortByColumn(QUALITY, Qt.SortOrder.AscendingOrder)
        self.selectionModel().currentRowChanged.connect(self._on_row)
        self.horizontalHeader().sortIndicatorChanged.connect(self._tell_order)

    def names(self) -> tuple[str, ...]:
        """Names as they are listed."""
        rows = range(self.listed.rowCount())
        return tuple(self.listed.index(row, NAME).data() for row in rows)

    def show_queue(self, queue: VolumeQueue, current: str | None) -> None:
        """List volumes and mark the one on display, without telling anybody but of the order."""
        with QSignalBlocker(self.selectionModel()):
            self.volumes.show(queue)
        self._fit()
        self.mark(current)
        self._tell_order()

    def choose(self, text: str, choice: str, current: str | None) -> None:
        """Keep what is asked for."""
        with QSignalBlocker(self.selectionModel()):
            self.listed.choose(text, choice)
        self.mark(current)
        self._tell_order()

    def mark(self, current: str | None) -> None:
        """Mark the volume on display, without telling anybody."""
        names = self.names()
        with QSignalBlocker(self.selectionModel()):
            if current in names:
                self.selectRow(names.index(current))
                self.scrollTo(self.listed.index(names.index(current), 0))
            else:
                self.clearSelection()
                self.setCurrentIndex(QModelIndex())
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Leave letters to the viewer: they are keys of the review, not a search in the list."""
        if event.text().isalnum() and not event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier:
            event.ignore()
            return
        super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Give the names what room there is."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Make no column wider than needed: the names get the rest."""
        edited = any(entry.edited is not None for entry in self.volumes.entries)
        self.setColumnHidden(EDITED, not edited)
        text, others = self.fontMetrics(), 0
        for column in range(ROLE, EDITED + edited):
            title = text.horizontalAdvance(HEADERS[column]) + HEADER_MARGIN
            width = max(self.sizeHintForColumn(column), title)
            self.setColumnWidth(column, width)
            others += width
        self.setColumnWidth(NAME, max(NARROWEST_NAME, self.viewport().width() - others))

    def _set_look(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(120)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setStyleSheet("QHeaderView::section { padding-right: 12px; }")  # for the arrow
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)

    def _on_row(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(current.siblingAtColumn(NAME).data())

    def _tell_order(self) -> None:
        self.ordered.emit(self.names())


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
