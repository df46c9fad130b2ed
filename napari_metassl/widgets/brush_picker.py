"""What the brush paints: a button for each class, one for background, one to take back."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QPushButton, QSizePolicy, QWidget

from napari_metassl.data.corrections import BACKGROUND_MARK
from napari_metassl.widgets.components import label, set_tone, swatch
from napari_metassl.widgets.session import ERASER, Session
from napari_metassl.widgets.theme import BACKGROUND_MARK_COLOR

COLUMNS = 3
LONG_NAME = 15
"""Names longer than this get two columns instead of three."""


class BrushPicker(QWidget):
    """Sets ``session.brush``; napari's own tools do the painting."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.session = session
        self.buttons: dict[int, QPushButton] = {}
        self._group = QButtonGroup(self)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._listed: tuple[tuple[str, str], ...] = ()
        session.events.review.connect(self._on_review)
        session.events.brush.connect(self._on_brush)
        self._on_review()

    def _on_review(self) -> None:
        review = self.session.review
        if review is None:
            return
        listed = tuple(zip(review.class_names, review.class_colors, strict=True))
        if listed != self._listed:
            self._listed = listed
            self._fill()
        self._on_brush(self.session.brush)

    def _fill(self) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        self.buttons = {}
        self._grid.addWidget(label("Paint"), 0, 0)
        choices = [(k, name, color) for k, (name, color) in enumerate(self._listed) if k > 0]
        choices.append((BACKGROUND_MARK, self._listed[0][0].capitalize(), BACKGROUND_MARK_COLOR))
        choices.append((ERASER, "Untouch", ""))
        columns = COLUMNS if max(len(name) for _, name, _ in choices) <= LONG_NAME else COLUMNS - 1
        for place, (value, name, color) in enumerate(choices):
            line, column = divmod(place, columns)
            self._grid.addWidget(self._button(value, name, color), line, 1 + column)
        for column in range(COLUMNS):
            self._grid.setColumnStretch(1 + column, int(column < columns))

    def _button(self, value: int, name: str, color: str) -> QPushButton:
        made = QPushButton(name)
        made.setCheckable(True)
        made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        set_tone(made, "choice")
        if value == ERASER:
            made.setToolTip("Paint corrections away: these voxels count as not seen again")
        elif value == BACKGROUND_MARK:
            made.setToolTip("Paint background: no structure here, whatever the networks say")
            made.setIcon(swatch(color))
        else:
            made.setToolTip(f"Paint {name}")
            made.setIcon(swatch(color))
        made.clicked.connect(lambda _on: self._choose(value))
        self._group.addButton(made)
        self.buttons[value] = made
        return made

    def _choose(self, value: int) -> None:
        self.session.brush = value
        self.session.paint.emit()

    def _on_brush(self, brush: int) -> None:
        if brush in self.buttons:
            self.buttons[brush].setChecked(True)
