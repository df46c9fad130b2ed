"""Which volume is on display, and the way to the one before and the one after."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QSizePolicy, QToolButton, QWidget

from napari_metassl.widgets.components import label, row
from napari_metassl.widgets.session import Session


class VolumeBar(QWidget):
    """Previous, a list of all volumes, next, and the volume's place among them."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.session = session
        self.previous = self._arrow(Qt.ArrowType.LeftArrow, "Volume before", -1)
        self.next = self._arrow(Qt.ArrowType.RightArrow, "Next volume", +1)
        self.names = QComboBox()
        self.names.setToolTip("Volume on display")
        self.names.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.names.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.names.setMinimumContentsLength(12)
        self.names.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.names.activated.connect(self._on_activated)
        self.place = label("", "muted")
        self.setLayout(row(self.previous, self.names, self.next, self.place))
        session.events.project.connect(self._on_project)
        session.events.volume.connect(self._on_volume)
        session.offer_taken.connect(self._on_offer)
        self._on_project()

    def _arrow(self, arrow: Qt.ArrowType, tip: str, by: int) -> QToolButton:
        made = QToolButton()
        made.setArrowType(arrow)
        made.setToolTip(tip)
        made.setFixedSize(30, 26)
        made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        made.clicked.connect(lambda: self._step(by))
        return made

    def _on_project(self) -> None:
        project = self.session.project
        with QSignalBlocker(self.names):
            self.names.clear()
            if project is not None:
                self.names.addItems([record.name for record in project.volumes()])
        self.setVisible(project is not None)
        self._on_volume()

    def _on_volume(self) -> None:
        with QSignalBlocker(self.names):
            self.names.setCurrentText(self.session.volume or "")
        count, here = self.names.count(), self.names.currentIndex()
        self.previous.setEnabled(here > 0)
        self.next.setEnabled(0 <= here < count - 1)
        self.place.setText(f"{here + 1} / {count}" if count else "")

    def _on_activated(self, index: int) -> None:
        self.session.volume = self.names.itemText(index)

    def _step(self, by: int) -> None:
        index = self.names.currentIndex() + by
        if 0 <= index < self.names.count():
            self.session.volume = self.names.itemText(index)

    def _on_offer(self, what: str) -> None:
        if what == "next volume":
            self._step(+1)
