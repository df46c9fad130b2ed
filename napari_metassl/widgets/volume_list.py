"""All volumes of the project with what each is for and how far the work on it is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from napari_metassl.data.corrections import journal_path
from napari_metassl.data.model_card import ModelCard, read_card
from napari_metassl.data.project import Project
from napari_metassl.errors import MetaSSLError
from napari_metassl.widgets.session import Session

NAME, ROLE, PREDICTION, CORRECTED = range(4)
HEADERS = ("Volume", "Role", "Prediction", "Corrected")


class VolumeList(QTreeWidget):
    """A click shows the volume. Corrected voxels of closed volumes are counted in a thread."""

    _counted = Signal(object, str, int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._items: dict[str, QTreeWidgetItem] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="metassl-count")
        self.setColumnCount(len(HEADERS))
        self.setHeaderLabels(list(HEADERS))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAlternatingRowColors(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setMinimumHeight(120)
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((ROLE, 76), (PREDICTION, 84), (CORRECTED, 84)):
            self.setColumnWidth(column, width)
        self.headerItem().setTextAlignment(CORRECTED, _right())
        self.currentItemChanged.connect(self._on_item)
        self._counted.connect(self._on_counted)
        session.events.project.connect(self._on_project)
        session.events.volume.connect(self._on_volume)
        session.events.review.connect(self._on_review)
        session.volumes_changed.connect(self.refresh)
        session.predicted.connect(self.refresh)
        session.edited.connect(self._on_edited)
        self._on_project()

    def close_threads(self) -> None:
        """Stop counting."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def refresh(self) -> None:
        """Write again which volumes are predicted, and by which pair."""
        project = self.session.project
        if project is None:
            return
        card = current_card(project)
        for record in project.volumes():
            item = self._items.get(record.name)
            if item is not None:
                item.setText(PREDICTION, prediction_state(project, record.name, card))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Leave letters to the viewer: they are keys of the review, not a search in the list."""
        if event.text().isalnum() and not event.modifiers():
            event.ignore()
            return
        super().keyPressEvent(event)

    def _on_project(self) -> None:
        project = self.session.project
        with QSignalBlocker(self):
            self.clear()
            self._items = {}
            for record in [] if project is None else project.volumes():
                item = QTreeWidgetItem([record.name, record.role, "", ""])
                item.setToolTip(NAME, record.name)
                item.setTextAlignment(CORRECTED, _right())
                self.addTopLevelItem(item)
                self._items[record.name] = item
        self.refresh()
        self._on_volume()
        for name in self._items:
            self._count(name)

    def _on_volume(self) -> None:
        item = self._items.get(self.session.volume or "")
        with QSignalBlocker(self):
            self.setCurrentItem(item)

    def _on_item(self, item: QTreeWidgetItem | None) -> None:
        if item is not None:
            self.session.volume = item.text(NAME)

    def _on_edited(self) -> None:
        review = self.session.review
        if review is not None:
            self._write_count(review.name, int(np.count_nonzero(review.corrections.labels)))

    _on_review = _on_edited

    def _count(self, name: str) -> None:
        """Count the corrected voxels of a volume that is not open."""
        project = self.session.project
        if project is None or not has_edits(project, name):
            return
        done = self._pool.submit(count_corrected, project, name)
        done.add_done_callback(
            lambda future: (
                None
                if future.cancelled() or future.exception() is not None
                else self._counted.emit(project, name, future.result())
            )
        )

    def _on_counted(self, project: Project, name: str, count: int) -> None:
        review = self.session.review
        if project is self.session.project and (review is None or review.name != name):
            self._write_count(name, count)

    def _write_count(self, name: str, count: int) -> None:
        item = self._items.get(name)
        if item is not None:
            item.setText(CORRECTED, f"{count:,} vx" if count else "")
            item.setToolTip(CORRECTED, f"{count:,} voxels corrected or confirmed")


def has_edits(project: Project, name: str) -> bool:
    """Whether the journal of a volume holds more than its first line, which says whose it is."""
    path = journal_path(project.corrections_folder, name)
    try:
        with path.open("rb") as journal:
            return bool(journal.readline()) and bool(journal.readline())
    except OSError:
        return False


def count_corrected(project: Project, name: str) -> int:
    """Count the voxels of a volume that a person corrected or confirmed."""
    apart = Project(project.folder, project.file)  # runs in a thread: shares no open journal
    corrections = apart.corrections(name, writable=False)
    return int(np.count_nonzero(corrections.labels))


def current_card(project: Project) -> ModelCard | None:
    """Card of the pair in use; None without one, or if it cannot be read."""
    folder = project.pair_path()
    if folder is None:
        return None
    try:
        return read_card(folder)
    except MetaSSLError:
        return None


def prediction_state(project: Project, name: str, card: ModelCard | None) -> str:
    """Whether a volume is predicted, and whether by the pair in use."""
    try:
        stored = project.prediction_card(name)
    except MetaSSLError:
        return "damaged"
    if stored is None:
        return "–"
    return "yes" if card is not None and stored.pair_sha256 == card.fingerprint else "older pair"


def _right() -> Qt.AlignmentFlag:
    return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
