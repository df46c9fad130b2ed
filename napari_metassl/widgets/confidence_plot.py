"""Two plots on the scale of the threshold slider: the confidence histogram, and reliability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_metassl.widgets.theme import NEUTRAL_COLOR, Palette
from napari_metassl.widgets.threshold_slider import STEPS, position_of, threshold_at

TICKS = (0.3, 0.5, 0.75, 0.9, 0.98, 1.0)
LEVELS_PER_BAR = 4
LOWEST = 0.3
"""Confidence at the left edge: of two classes the surer one has 1/2 at least, of three 1/3."""
DECADES = ("1", "10", "100", "1k", "10k", "100k", "1M", "10M", "100M")
DIM = 0.25


class ConfidenceAxisPlot(pg.PlotWidget):
    """A still plot whose x axis is confidence, fine near 1."""

    def __init__(self, left: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMenuEnabled(False)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.setMinimumSize(250, 180)
        self.getAxis("left").enableAutoSIPrefix(False)
        self.getAxis("left").setWidth(46)
        self.getPlotItem().setLabel("left", left)
        self.getPlotItem().setLabel("bottom", "confidence")
        self.setXRange(position_of(LOWEST), STEPS, padding=0)
        self.getAxis("bottom").setTicks([[(position_of(c), f"{c:g}") for c in TICKS]])

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.setBackground(palette.card)
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(palette.line)
            self.getAxis(side).setTextPen(palette.muted)


class HistogramPlot(ConfidenceAxisPlot):
    """Voxels by confidence, a line for every class, and its threshold, which can be dragged."""

    dragged = Signal(float)
    """The threshold of the class in front, or of all, while a person drags it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("voxels", parent)
        self._curves: list[Any] = []
        self._lines: list[Any] = []
        self._colors: list[str] = []
        self.front: int | None = None
        self.handle = pg.InfiniteLine(angle=90, movable=True, bounds=(0, STEPS))
        self.handle.sigDragged.connect(self._on_dragged)
        self.getAxis("left").setTicks([list(enumerate(DECADES))])

    def show_counts(self, counts: npt.NDArray[np.int64], colors: Sequence[str]) -> None:
        """Draw (C, 256) counts by class and level; the scale of the counts is logarithmic."""
        self.clear()
        self._colors = list(colors)
        bars = counts.reshape(len(counts), -1, LEVELS_PER_BAR).sum(2)
        edges = np.arange(bars.shape[1] + 1) * STEPS / bars.shape[1]
        heights = np.log10(np.maximum(bars, 10**-0.3))
        self._curves = [
            self.plot(edges, height, stepMode="center", pen=pg.mkPen(color, width=2))
            for height, color in zip(heights, colors, strict=True)
        ]
        self._lines = [pg.InfiniteLine(angle=90) for _ in colors]
        for line in (*self._lines, self.handle):
            self.addItem(line)
        self.setYRange(-0.3, max(1.0, float(heights.max())), padding=0.04)
        self.bring_to_front(self.front)

    def bring_to_front(self, k: int | None) -> None:
        """Let the handle be the threshold of class `k`, or of all classes."""
        self.front = k if k is None or k < len(self._curves) else None
        for n, (curve, line) in enumerate(zip(self._curves, self._lines, strict=True)):
            shown = self.front is None or n == self.front
            curve.setPen(pg.mkPen(faded(self._colors[n], shown), width=2))
            line.setPen(pg.mkPen(faded(self._colors[n], shown), style=Qt.PenStyle.DashLine))

    def show_thresholds(self, thresholds: Sequence[float]) -> None:
        """Move the lines, without telling anybody."""
        for line, threshold in zip(self._lines, thresholds, strict=True):
            line.setValue(position_of(threshold))
        mean = sum(thresholds) / len(thresholds)
        front = mean if self.front is None else thresholds[self.front]
        self.handle.blockSignals(True)
        if not self.handle.moving:
            self.handle.setValue(position_of(front))
        self.handle.blockSignals(False)

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        super().use_palette(palette)
        self.handle.setPen(pg.mkPen(palette.text, width=2))
        self.handle.setHoverPen(pg.mkPen(palette.accent, width=4))

    def _on_dragged(self) -> None:
        self.dragged.emit(threshold_at(round(self.handle.value())))


class ReliabilityPlot(ConfidenceAxisPlot):
    """How often voxels of some confidence are right; on the grey line confidence is honest."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("right", parent)
        self.setYRange(0, 1, padding=0.02)
        shares = [(n / 4, f"{25 * n} %") for n in range(5)]
        self.getAxis("left").setTicks([shares])
        self._curves: list[Any] = []
        self._colors: list[str] = []
        self._honest = pg.mkPen(NEUTRAL_COLOR, style=Qt.PenStyle.DashLine)

    def show_curves(self, curves: Sequence[npt.NDArray[np.float64]], colors: Sequence[str]) -> None:
        """Draw (3, N) curves: mean confidence, share that is right, voxels."""
        self.clear()
        self._colors = list(colors)
        honest = np.linspace(0, 0.9999, 200)
        self.plot([position_of(c) for c in honest], honest, pen=self._honest)
        self._curves = [
            self.plot([position_of(c) for c in sure], right, symbol="o", symbolSize=6)
            for sure, right, _ in curves
        ]
        self.bring_to_front(None)

    def bring_to_front(self, k: int | None) -> None:
        """Draw one class, or all, in full colour."""
        for n, (curve, color) in enumerate(zip(self._curves, self._colors, strict=True)):
            shown = faded(color, k is None or n == k)
            curve.setPen(pg.mkPen(shown, width=2))
            curve.setSymbolBrush(shown)
            curve.setSymbolPen(None)


def faded(color: str, shown: bool) -> Any:
    """Return a colour, or a shadow of it."""
    made = pg.mkColor(color)
    made.setAlphaF(1.0 if shown else DIM)
    return made
