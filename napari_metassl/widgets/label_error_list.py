"""Possible label errors of the project, worst first: going there, and saying who is right."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QBrush, QColor, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_metassl.data.volume_figures import ListedLabelError
from napari_metassl.data.volume_queue import QueueEntry, VolumeQueue
from napari_metassl.widgets.components import button, label, row
from napari_metassl.widgets.session import Edit, Session
from napari_metassl.widgets.theme import Palette

VOLUME, KIND, SIZE, STATUS = range(4)
HEADERS = ("Volume", "Label → networks", "mL", "Status")
MOST_SHOWN = 200
ABOUT = (
    "Both networks are confident of another class than the manual label: largest place first, "
    "training labels before validation labels, where networks err more."
)
NONE_YET = (
    "Nothing here yet. Predict the labeled volumes: where both networks are confident of another "
    "class than the manual label, the place is listed here."
)
NONE_FOUND = "The networks contradict no manual label confidently: no place to look at."


class LabelErrorList(QWidget):
    """A click shows the place; two buttons say whether the label or the networks are right."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.session = session
        self.palette_: Palette | None = None
        self._wanted: tuple[str, int] | None = None
        self._shown: tuple[object, ...] = ()
        self.about = label(ABOUT, "muted", wrap=True)
        self.tree = _Tree()
        self.tree.currentItemChanged.connect(self._on_item)
        self.label_right = button(
            "Label is right",
            lambda: self._settle(label_is_right=True),
            tip="Confirm the manual label there; the place is done",
        )
        self.networks_right = button(
            "Networks are right",
            lambda: self._settle(label_is_right=False),
            tone="primary",
            tip="Correct the label there to what both networks say; undo takes it back",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.about)
        layout.addWidget(self.tree, 1)
        layout.addLayout(row(self.label_right, self.networks_right))
        session.events.queue.connect(self.refresh)
        session.events.review.connect(self._on_review)
        session.events.label_error.connect(self._on_label_error)
        self.refresh()

    def open_count(self) -> int:
        """How many places nobody has judged."""
        return sum(1 for entry, error in found_in(self.session.queue) if not settled(entry, error))

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.palette_, self._shown = palette, ()
        self.refresh()

    def refresh(self) -> None:
        """List the places again, if any is new."""
        queue = self.session.queue
        listed = found_in(queue)[:MOST_SHOWN]
        shown = tuple((entry.figures, entry.progress) for entry, _ in listed)
        if shown == self._shown and listed:
            return
        self._shown = shown
        with QSignalBlocker(self.tree):
            self.tree.clear()
            for entry, error in listed:
                self.tree.addTopLevelItem(self._item(entry, error))
        known = any(e.figures is not None and e.figures.dice for e in queue.entries.values())
        self.tree.setVisible(bool(listed))
        self.about.setText(ABOUT if listed else NONE_FOUND if known else NONE_YET)
        self._on_label_error()

    def _item(self, entry: QueueEntry, error: ListedLabelError) -> QTreeWidgetItem:
        project = self.session.project
        names = () if project is None else project.class_names
        kind = f"{name_of(error.labeled, names)} → {name_of(error.predicted, names)}"
        done = settled(entry, error)
        item = QTreeWidgetItem([entry.name, kind, f"{error.ml:.2f}", "✓ done" if done else "open"])
        item.setData(VOLUME, Qt.ItemDataRole.UserRole, (entry.name, error.id))
        item.setTextAlignment(SIZE, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setToolTip(VOLUME, f"{entry.name}, {entry.role}")
        item.setToolTip(KIND, f"{kind}; mean confidence {error.mean_confidence:.2f}")
        if done and self.palette_ is not None:
            item.setForeground(STATUS, QBrush(QColor(self.palette_.good)))
        return item

    def _on_item(self, item: QTreeWidgetItem | None) -> None:
        if item is None:
            return
        name, number = item.data(VOLUME, Qt.ItemDataRole.UserRole)
        self._wanted = (name, number)
        self.session.volume = name
        self._on_review()

    def _on_review(self) -> None:
        """Go to the place that was asked for, once its volume is there."""
        review, wanted = self.session.review, self._wanted
        if review is None or wanted is None or review.name != self.session.volume:
            return
        self._wanted = None
        name, number = wanted
        if review.name == name and number < len(review.label_errors):
            self.session.label_error = review.label_errors[number]

    def _on_label_error(self) -> None:
        review, error = self.session.review, self.session.label_error
        at_hand = review is not None and error is not None
        for widget in (self.label_right, self.networks_right):
            widget.setEnabled(at_hand)
            widget.setVisible(self.tree.isVisibleTo(self))
        if review is None or error is None:
            return
        for n in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(n)
            if item.data(VOLUME, Qt.ItemDataRole.UserRole) == (review.name, error.id):
                with QSignalBlocker(self.tree):
                    self.tree.setCurrentItem(item)

    def _settle(self, *, label_is_right: bool) -> None:
        review, error = self.session.review, self.session.label_error
        if review is None or error is None:
            return
        what = "label is right" if label_is_right else "networks are right"
        voxels, values = review.settle(error, label_is_right=label_is_right)
        self.session.edit.emit(Edit(what, voxels, values))
        if self.session.go_on:
            self._next()

    def _next(self) -> None:
        """Go to the next place of the list."""
        here = self.tree.indexOfTopLevelItem(self.tree.currentItem())
        if here + 1 < self.tree.topLevelItemCount():
            self.tree.setCurrentItem(self.tree.topLevelItem(here + 1))


class _Tree(QTreeWidget):
    """The list itself."""

    def __init__(self) -> None:
        super().__init__()
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
        header.setSectionResizeMode(KIND, QHeaderView.ResizeMode.Stretch)
        for column, width in ((VOLUME, 80), (SIZE, 52), (STATUS, 60)):
            self.setColumnWidth(column, width)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        self.headerItem().setTextAlignment(SIZE, right)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Leave letters to the viewer: they are keys of the review, not a search in the list."""
        if event.text().isalnum() and not event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier:
            event.ignore()
            return
        super().keyPressEvent(event)


def found_in(queue: VolumeQueue) -> list[tuple[QueueEntry, ListedLabelError]]:
    """All possible label errors of the project, those of labels trained on first, then by size.

    On volumes they were not trained on the networks make confident errors of their own, which
    would stand above contradictions of a label they were taught.
    """
    found = [
        (entry, error)
        for entry in queue.entries.values()
        if entry.figures is not None
        for error in entry.figures.label_errors
    ]
    return sorted(found, key=lambda pair: (pair[0].role == "validation", -pair[1].ml))


def settled(entry: QueueEntry, error: ListedLabelError) -> bool:
    """Whether a person has seen every voxel of the place."""
    return entry.progress is not None and error.id in entry.progress.settled


def name_of(k: int, class_names: tuple[str, ...]) -> str:
    """Name of a class; a label may hold one that the project does not know."""
    return class_names[k] if k < len(class_names) else f"class {k}"
