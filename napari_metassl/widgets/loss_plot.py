"""Live curves of a training: its loss, and the Dice on the validation volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_metassl.widgets.components import label
from napari_metassl.widgets.theme import Palette

LOSSES = {
    "total": ("total", "#e69f00"),
    "supervised": ("supervised", "#56b4e9"),
    "heterogeneous": ("λ × heterogeneous", "#cc79a7"),
}
DICE_COLORS = ("#009e73", "#e69f00", "#56b4e9", "#f0e442", "#d55e00", "#cc79a7")
BOTTOM_AXIS = 38
"""Pixels: ticks, and the word below them in full."""
KEPT = 4000
"""Points drawn at most; of longer trainings every second, fourth ... step."""


def loss_parts(losses: Mapping[str, float]) -> dict[str, float]:
    """Return the loss and the two parts that it is the sum of."""
    if "total" not in losses:
        return {}
    supervised = losses.get("supervised", 0.0)
    parts = {"total": losses["total"], "supervised": supervised}
    return parts | {"heterogeneous": losses["total"] - supervised}


class SmallPlot(pg.PlotWidget):
    """A plot that asks for little room and takes what there is."""

    def sizeHint(self) -> QSize:  # noqa: N802
        """Low enough for two of them below a form."""
        return QSize(240, 130)


class LossPlot(QWidget):
    """Two small plots, one below the other, each under the names of its curves."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.loss, self.dice = SmallPlot(), SmallPlot()
        self.keys = {plot: label("", wrap=True) for plot in (self.loss, self.dice)}
        for key in self.keys.values():
            key.setTextFormat(Qt.TextFormat.RichText)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for plot, title in ((self.loss, "loss"), (self.dice, "validation Dice")):
            plot.setMinimumHeight(120)
            plot.getAxis("left").enableAutoSIPrefix(False)
            plot.setMenuEnabled(False)
            plot.setMouseEnabled(False, False)
            plot.hideButtons()
            plot.getPlotItem().setLabel("left", title)
            plot.getAxis("left").setWidth(52)
            layout.addWidget(self.keys[plot])
            layout.addWidget(plot, 1)
        self.dice.getPlotItem().setLabel("bottom", "step")
        self.dice.getAxis("bottom").setHeight(BOTTOM_AXIS)
        self.dice.setYRange(0, 1)
        self.dice.setXLink(self.loss)
        self._points: dict[str, tuple[list[float], list[float]]] = {}
        self._curves: dict[str, Any] = {}

    def reset(self) -> None:
        """Begin with another training."""
        self._points.clear()
        self._curves.clear()
        for plot in (self.loss, self.dice):
            plot.clear()
            self.keys[plot].clear()

    def add(self, records: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> None:
        """Draw what new progress records say."""
        for record in records:
            step = record.get("step")
            if step is None:
                continue
            for key, value in loss_parts(record.get("losses") or {}).items():
                self._point(key, step, value)
            for key, value in (record.get("validation") or {}).items():
                self._point(f"dice {key}", step, value)
        for key, (steps, values) in self._points.items():
            self._curve(key, class_names).setData(steps, values)

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        for plot in (self.loss, self.dice):
            plot.setBackground(palette.card)
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(palette.line)
                plot.getAxis(side).setTextPen(palette.muted)

    def _point(self, key: str, step: float, value: float | None) -> None:
        if value is None:
            return
        steps, values = self._points.setdefault(key, ([], []))
        steps.append(float(step))
        values.append(float(value))
        if len(steps) > KEPT:
            del steps[1::2], values[1::2]

    def _curve(self, key: str, class_names: Sequence[str]) -> Any:
        if key in self._curves:
            return self._curves[key]
        if key in LOSSES:
            name, color = LOSSES[key]
            curve = self.loss.plot(name=name, pen=pg.mkPen(color, width=2))
            self._name(self.loss, name, color)
        else:
            name, color = _dice_line(key.removeprefix("dice "), class_names)
            pen = pg.mkPen(color, width=3 if name == "mean" else 1.5)
            curve = self.dice.plot(
                name=name, pen=pen, symbol="o", symbolSize=5, symbolBrush=color, symbolPen=None
            )
            self._name(self.dice, name, color)
        self._curves[key] = curve
        return curve

    def _name(self, plot: SmallPlot, name: str, color: str) -> None:
        """Add a curve to the names above its plot; inside, a legend would cover the curves."""
        shown = f'<span style="color: {color}">━</span>&nbsp;{escape(name).replace(" ", "&nbsp;")}'
        self.keys[plot].setText(" &nbsp; ".join(filter(None, (self.keys[plot].text(), shown))))


def _dice_line(key: str, class_names: Sequence[str]) -> tuple[str, str]:
    """Name and colour of a line of the Dice plot."""
    if not key.isdigit():
        return key, "#808080"
    k = int(key)
    name = class_names[k] if k < len(class_names) else f"class {k}"
    return name, DICE_COLORS[(k - 1) % len(DICE_COLORS)]
