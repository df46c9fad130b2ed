"""The table of the project's volumes, worst first: role, status, disagreement, quality."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QHeaderView, QWidget

from napari_metassl.data.volume_queue import VolumeQueue
from napari_metassl.widgets.list_table import ListTable
from napari_metassl.widgets.volume_model import EDITED, HEADERS, NAME, QUALITY, ROLE, VolumeModel

NARROWEST_NAME = 60
CELL_MARGIN = 18
HEADER_MARGIN = 18
"""Room for the arrow of the column sorted by."""


class VolumeTable(ListTable):
    """The list; a click or the arrow keys show the volume, its header sorts."""

    chosen = Signal(str)
    ordered = Signal(object)
    """Names as they are listed, whenever they may have changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.volumes = VolumeModel(self)
        self.setModel(self.volumes)
        self._current: str | None = None
        self._set_look()
        self.setSortingEnabled(True)
        self.sortByColumn(QUALITY, Qt.SortOrder.AscendingOrder)
        self.selectionModel().currentRowChanged.connect(self._on_row)
        self.horizontalHeader().sortIndicatorChanged.connect(self._on_listed)

    def show_queue(self, queue: VolumeQueue) -> None:
        """List volumes, without telling anybody but of the order."""
        with QSignalBlocker(self.selectionModel()):
            self.volumes.show(queue)
        self._fit()
        self._on_listed()

    def choose(self, text: str, choice: str) -> None:
        """List what is asked for."""
        with QSignalBlocker(self.selectionModel()):
            self.volumes.choose(text, choice)
        self._on_listed()

    def mark(self, current: str | None) -> None:
        """Mark the volume on display and bring it into view, without telling anybody."""
        self._current = current
        self._select()
        self.scrollTo(self.currentIndex())

    def _on_listed(self) -> None:
        """Mark the volume where it stands now; the list stays where a person left it."""
        place = self.verticalScrollBar().value()
        self._select()
        self.verticalScrollBar().setValue(place)
        self.ordered.emit(self.volumes.names())

    def _select(self) -> None:
        names = self.volumes.names()
        with QSignalBlocker(self.selectionModel()):
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
            if self._current in names:
                self.selectRow(names.index(self._current))
        self.viewport().update()

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
            cell = text.horizontalAdvance(self.volumes.longest(column)) + CELL_MARGIN
            width = max(cell, title)
            self.setColumnWidth(column, width)
            others += width
        self.setColumnWidth(NAME, max(NARROWEST_NAME, self.viewport().width() - others))

    def _set_look(self) -> None:
        self.setMinimumHeight(120)
        header = self.horizontalHeader()
        header.setStyleSheet("QHeaderView::section { padding-right: 12px; }")  # for the arrow
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)

    def _on_row(self, current: QModelIndex, _previous: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(current.siblingAtColumn(NAME).data())
