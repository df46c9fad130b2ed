"""The line on top of the panels that says what happened or what to do, with one offer at most."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QWidget

from napari_metassl.widgets.components import button, label, set_tone
from napari_metassl.widgets.session import Notice, Session

SHOWN_MS = 12_000
"""How long a message stays that asks for nothing and warns of nothing."""


class MessageBar(QFrame):
    """Shows ``session.notice``; hidden while there is none, and when good news has been read."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message")
        self.session = session
        self.text = label("", wrap=True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setMinimumWidth(80)
        self.offer = button("", self._take)
        self.offer.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.dismiss = button("✕", self._dismiss, tip="Hide this message")
        self.dismiss.setFixedWidth(28)
        self.dismiss.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(10, 6, 6, 6)
        layout.setSpacing(8)
        layout.addWidget(self.text, 1)
        layout.addWidget(self.offer)
        layout.addWidget(self.dismiss)
        self.old = QTimer(self)
        self.old.setSingleShot(True)
        self.old.setInterval(SHOWN_MS)
        self.old.timeout.connect(self.hide)
        session.events.notice.connect(self._on_notice)
        self._on_notice(session.notice)

    def _on_notice(self, notice: Notice | None) -> None:
        self.setVisible(notice is not None)
        self.old.stop()
        if notice is None:
            return
        if notice.tone in ("info", "good") and not notice.offer:
            self.old.start()
        self.text.setText(notice.text)
        self.offer.setText(notice.offer)
        self.offer.setVisible(bool(notice.offer))
        self.offer.updateGeometry()
        set_tone(self, notice.tone)

    def _take(self) -> None:
        notice, self.session.notice = self.session.notice, None
        if notice is not None:
            self.session.offer_taken.emit(notice.what)

    def _dismiss(self) -> None:
        self.session.notice = None
