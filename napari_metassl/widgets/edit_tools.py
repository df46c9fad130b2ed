"""The tools beside napari's brush: one button each, and the radius of the ball."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QWidget

from napari_metassl.widgets.components import KeyButton, button, key_text, row
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
        line = row(self.buttons[Tool.BALL], self.radius, spacing=4)
        for tool in (Tool.INTERPOLATE, Tool.COPY_BEFORE, Tool.COPY_AFTER, Tool.SMOOTH):
            line.addWidget(self.buttons[tool])
        self.setLayout(line)
        session.events.ball.connect(self._on_ball)
        session.events.ball_mm.connect(self._on_ball)

    def _button(self, tool: Tool) -> KeyButton:
        text, tip = BUTTONS[tool]
        tip = f"{tip} (key {key_text(TOOL_KEYS[tool])})"  # no caps: one row for all of them
        made = button(text, lambda: self.session.use.emit(tool), tone="choice", tip=tip)
        return made

    def _radius(self) -> QDoubleSpinBox:
        made = QDoubleSpinBox()
        made.setRange(0.5, 50.0)
        made.setDecimals(1)
        made.setSuffix(" mm")
        made.setValue(self.session.ball_mm)
        made.setToolTip("Radius of the ball; napari's own [ and ] change it too")
        made.setStyleSheet("min-width: 92px; max-width: 92px;")
        made.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        made.valueChanged.connect(self._set_radius)
        return made

    def _set_radius(self, radius: float) -> None:
        self.session.ball_mm = radius

    def _on_ball(self) -> None:
        self.buttons[Tool.BALL].setChecked(self.session.ball)
        if self.radius.value() != round(self.session.ball_mm, 1):
            self.radius.setValue(self.session.ball_mm)
