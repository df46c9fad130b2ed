"""Small building blocks of the panels: cards, labels with a tone, buttons that show their key."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

SCROLLBAR_WIDTH = 10


class Card(QFrame):
    """A titled block; ``body`` is its vertical layout, ``head`` the row of the title."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("card")
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(10, 8, 10, 10)
        self.body.setSpacing(6)
        self.head = row()
        self.head.addWidget(label(title, "title"))
        self.head.addStretch(1)
        self.body.addLayout(self.head)


class KeyButton(QPushButton):
    """A button that shows its keyboard key as a small cap at its right edge."""

    def __init__(self, text: str, key: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.key = key
        self.setProperty("keyed", bool(key))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Room for the text; the style sheet keeps the place of the key cap free."""
        hint = super().sizeHint()
        return QSize(hint.width(), max(hint.height(), 30))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Never narrower than the text and the cap, so that neither is clipped."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the button as styled, then the cap over its right end."""
        super().paintEvent(event)
        if not self.key:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().color(self.foregroundRole())
        ink.setAlphaF(0.75 if self.isEnabled() else 0.3)
        width = 18 if len(self.key) == 1 else 24
        cap = QRectF(self.width() - width - 7.5, (self.height() - 17) / 2, width, 17)
        painter.setPen(QPen(ink, 1))
        painter.drawRoundedRect(cap, 3, 3)
        font = self.font()
        font.setPointSizeF(max(font.pointSizeF() - 1.0, 6.0))
        painter.setFont(font)
        painter.drawText(cap, Qt.AlignmentFlag.AlignCenter, self.key)
        painter.end()


def key_text(key: str) -> str:
    """Return a key of napari's as it stands on the keyboard: "Shift-Left" is "⇧←"."""
    for word, sign in (("Shift-", "⇧"), ("Left", "←"), ("Right", "→")):
        key = key.replace(word, sign)
    return key


def row(*widgets: QWidget, spacing: int = 6) -> QHBoxLayout:
    """Return a horizontal layout without margins that holds ``widgets``."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def label(text: str = "", tone: str = "", *, wrap: bool = False) -> QLabel:
    """Return a label; ``tone`` is one of the style sheet's: title, muted, good, bad ..."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(wrap)
    set_tone(made, tone)
    return made


def set_tone(widget: QWidget, tone: str) -> None:
    """Give ``widget`` another tone of the style sheet."""
    if widget.property("tone") == tone:
        return
    widget.setProperty("tone", tone)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


def button(
    text: str, clicked: Callable[[], object], *, key: str = "", tone: str = "", tip: str = ""
) -> KeyButton:
    """Return a button that calls ``clicked`` without arguments."""
    made = KeyButton(text, key)
    made.setProperty("tone", tone)
    made.setToolTip(f"{tip} (key {key})" if tip and key else tip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keyboard to the viewer
    made.clicked.connect(lambda _checked=False: clicked())
    return made


def swatch(color: str, size: int = 14) -> QIcon:
    """Return a square of ``color`` with a hairline, so that light and dark colours both show."""
    pixmap = QPixmap(size * 2, size * 2)
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(QColor(128, 128, 128, 160), 1))
    painter.setBrush(QColor(color))
    painter.drawRoundedRect(QRectF(0.5, 0.5, size - 1, size - 1), 3, 3)
    painter.end()
    return QIcon(pixmap)


class PageScroll(QScrollArea):
    """Scrolls up and down when the window is too low, and is never narrower than its content."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        content.installEventFilter(self)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Follow the content when what it needs changes."""
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Polish):
            self._fit()
        return bool(super().eventFilter(watched, event))

    def _fit(self) -> None:
        content = self.widget()
        self.setMinimumWidth(content.minimumSizeHint().width() + SCROLLBAR_WIDTH)


def page(*parts: QWidget, stretch: int | None = None) -> QWidget:
    """Return a page of cards, one below the other; ``stretch`` is the one that takes spare room."""
    made = QWidget()
    made.setObjectName("page")
    layout = QVBoxLayout(made)
    layout.setContentsMargins(2, 6, 2, 6)
    layout.setSpacing(8)
    for index, part in enumerate(parts):
        weight = 1 if index == stretch else 0
        if weight == 0:
            part.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        layout.addWidget(part, weight)
    layout.addStretch(0)  # takes the room when the part that stretches is hidden
    return made
