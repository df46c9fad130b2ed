"""The tools beside napari's brush: one button each, and the radius of the ball."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QWidget

from napari_metassl.widgets.components import KeyButton, button, key_text, label
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.tool import TOOL_KEYS, Tool

BUTTONS: dict[Tool, tuple[str, str]] = {
    Tool.BALL: (
        "Ball",
        "Let the brush paint a ball through the slices instead of a disc in one",
    ),
    Tool.INTERPOLATE: (
        "Between",
        "Fill the slices between the painted ones on either side of this one, by their shapes; "
        "only voxels nobody touched",
    ),
    Tool.SMOOTH: (
        "Smooth",
        "Smooth the outline of the class the brush paints, near the site at hand; other classes "
        "you painted stay",
    ),
    Tool.COPY_BEFORE: (
        "Copy ▲",
        "Paint here what is painted on the slice before; only voxels nobody touched",
    ),
    Tool.COPY_AFTER: (
        "Copy ▼",
        "Paint here what is painted on the slice after; only voxels nobody touched",
    ),
}


class EditTools(QWidget):
    """Emits ``session.use``; sets the radius of the ball."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.session = session
        self.buttons = {tool: self._button(tool) for tool in BUTTONS}
        self.buttons[Tool.BALL].setCheckable(True)
        self.radius = self._radius()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(label("Tools"), 0, 0)
        places = (
            (self.buttons[Tool.BALL], 0, 1), (self.radius, 0, 2), (self.buttons[Tool.SMOOTH], 0, 3),
            (self.buttons[Tool.INTERPOLATE], 1, 1), (self.buttons[Tool.COPY_BEFORE], 1, 2),
            (self.buttons[Tool.COPY_AFTER], 1, 3),
        )  # fmt: skip
        for widget, line, column in places:
            grid.addWidget(widget, line, column)
        for column in (1, 2, 3):
            grid.setColumnStretch(column, 1)
        session.events.ball.connect(self._on_ball)
        session.events.ball_mm.connect(self._on_ball)

    def _button(self, tool: Tool) -> KeyButton:
        text, tip = BUTTONS[tool]
        return button(
            text, lambda: self.session.use.emit(tool), key=key_text(TOOL_KEYS[tool]), tip=tip
        )

    def _radius(self) -> QDoubleSpinBox:
        made = QDoubleSpinBox()
        made.setRange(0.5, 50.0)
        made.setDecimals(1)
        made.setSuffix(" mm")
        made.setValue(self.session.ball_mm)
        made.setToolTip("Radius of the ball; napari's own [ and ] change it too")
        made.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        made.valueChanged.connect(self._set_radius)
        return made

    def _set_radius(self, radius: float) -> None:
        self.session.ball_mm = radius

    def _on_ball(self) -> None:
        self.buttons[Tool.BALL].setChecked(self.session.ball)
        if self.radius.value() != round(self.session.ball_mm, 1):
            self.radius.setValue(self.session.ball_mm)
