"""Which volume is on display, and the way to the one before and the one after."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QSizePolicy, QToolButton, QWidget

from napari_metassl.widgets.components import label, row
from napari_metassl.widgets.session import KEYS, Action, Session


class VolumeBar(QWidget):
    """Previous, a list of all volumes, next, and the volume's place among them."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.session = session
        self.previous = self._arrow(Qt.ArrowType.LeftArrow, Action.PREVIOUS_VOLUME)
        self.next = self._arrow(Qt.ArrowType.RightArrow, Action.NEXT_VOLUME)
        self.names = QComboBox()
        self.names.setToolTip("Volume on display; the list is that of the Project page")
        self.names.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.names.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.names.setMinimumContentsLength(12)
        self.names.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.names.activated.connect(self._on_activated)
        self.place = label("", "muted")
        self.setLayout(row(self.previous, self.names, self.next, self.place))
        session.events.order.connect(self.refresh)
        session.events.project.connect(self.refresh)
        session.events.volume.connect(self._on_volume)
        self.refresh()

    def _arrow(self, arrow: Qt.ArrowType, action: Action) -> QToolButton:
        made = QToolButton()
        made.setArrowType(arrow)
        made.setToolTip(f"{str(action).capitalize()} of the list ({KEYS[action]})")
        made.setFixedSize(30, 26)
        made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        made.clicked.connect(lambda: self.session.act.emit(action))
        return made

    def refresh(self) -> None:
        """List the volumes in the order of the queue."""
        with QSignalBlocker(self.names):
            self.names.clear()
            self.names.addItems(list(self.session.order))
        self.setVisible(self.session.project is not None)
        self._on_volume()

    def _on_volume(self) -> None:
        with QSignalBlocker(self.names):
            self.names.setPlaceholderText(self.session.volume or "")  # the filter may hide it
            self.names.setCurrentIndex(self.names.findText(self.session.volume or ""))
        count, here = self.names.count(), self.names.currentIndex()
        self.previous.setEnabled(here > 0)
        self.next.setEnabled(count > (here >= 0))
        self.place.setText(f"{here + 1 or '–'} / {count}" if count else "")

    def _on_activated(self, index: int) -> None:
        self.session.volume = self.names.itemText(index)
