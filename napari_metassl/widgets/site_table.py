"""The list of sites, worst first: what each is, how much of it is suspicious, how far one is."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_metassl.widgets.review import ListedSite, SiteStatus
from napari_metassl.widgets.theme import Palette

COLUMNS = ("#", "A says → B says", "DS mL", "Status")
TIPS = (
    "Rank: the more suspicious and discrepant volume, the higher",
    "What network A and what network B say there",
    "Discrepant and suspicious volume at the thresholds of now",
    "open, skipped, confirmed as predicted, or corrected",
)
MARKS = {
    SiteStatus.OPEN: "open",
    SiteStatus.SKIPPED: "skipped",
    SiteStatus.CONFIRMED: "✓ confirmed",
    SiteStatus.CORRECTED: "✓ corrected",
}


class SiteModel(QAbstractTableModel):
    """Ranked sites as Qt wants them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries: list[ListedSite] = []
        self.class_names: tuple[str, ...] = ()
        self.palette: Palette | None = None

    def show(self, entries: list[ListedSite], class_names: tuple[str, ...]) -> None:
        """Exchange what is listed."""
        self.beginResetModel()
        self.entries, self.class_names = entries, class_names
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Count the sites."""
        return 0 if parent.isValid() else len(self.entries)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008, N802
        """Count the columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: N802
        """Title and meaning of a column."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return COLUMNS[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return TIPS[section]
            if role == Qt.ItemDataRole.TextAlignmentRole:
                return _alignment(section)
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, alignment and colour of a cell."""
        entry = self.entries[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(index.row(), index.column(), entry)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _alignment(index.column())
        if role == Qt.ItemDataRole.ForegroundRole and self.palette is not None:
            return QBrush(QColor(self._ink(index.column(), entry)))
        if role == Qt.ItemDataRole.ToolTipRole:
            return (
                f"Site of {entry.site.ml:.2f} mL, {entry.ds_ml:.2f} mL of it suspicious; mean "
                f"confidence {entry.site.mean_confidence:.2f}"
            )
        return None

    def _text(self, line: int, column: int, entry: ListedSite) -> str:
        if column == 0:
            return str(line + 1)
        if column == 1:
            a, b = (self.class_names[k] for k in entry.site.classes)
            return f"{a} → {b}"
        return f"{entry.ds_ml:.2f}" if column == 2 else MARKS[entry.status]

    def _ink(self, column: int, entry: ListedSite) -> str:
        assert self.palette is not None
        if entry.status.is_done:
            return self.palette.good if column == 3 else self.palette.muted
        if entry.status is SiteStatus.SKIPPED and column == 3:
            return self.palette.warning
        return self.palette.text


class SiteTable(QTableView):
    """The list; ``chosen`` carries the id of the site a person clicks or moves to."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sites = SiteModel(self)
        self.setModel(self.sites)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(116)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        for column, width in ((0, 34), (2, 60), (3, 92)):
            self.setColumnWidth(column, width)
        self.selectionModel().currentRowChanged.connect(self._on_row)

    def show_sites(
        self, entries: list[ListedSite], class_names: tuple[str, ...], current: int | None
    ) -> None:
        """List sites and mark the one at hand, without telling anybody."""
        with QSignalBlocker(self.selectionModel()):
            self.sites.show(entries, class_names)
        self.mark(current)

    def mark(self, current: int | None) -> None:
        """Mark the site at hand, without telling anybody."""
        ids = [entry.site.id for entry in self.sites.entries]
        with QSignalBlocker(self.selectionModel()):
            if current in ids:
                self.selectRow(ids.index(current))
                self.scrollTo(self.sites.index(ids.index(current), 0))
            else:
                self.clearSelection()
                self.setCurrentIndex(QModelIndex())
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Leave letters to the viewer: they are keys of the review, not a search in the list."""
        if event.text().isalnum() and not event.modifiers():
            event.ignore()
            return
        super().keyPressEvent(event)

    def _on_row(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(self.sites.entries[current.row()].site.id)


def _alignment(column: int) -> Qt.AlignmentFlag:
    side = Qt.AlignmentFlag.AlignRight if column in (0, 2) else Qt.AlignmentFlag.AlignLeft
    return side | Qt.AlignmentFlag.AlignVCenter
