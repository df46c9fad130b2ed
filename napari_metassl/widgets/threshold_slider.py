"""A slider for a confidence threshold, as fine near 1 as the stored confidence is."""

from __future__ import annotations

import math

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSizePolicy, QSlider, QWidget

from napari_metassl.widgets.components import row

STEPS = 1000


def threshold_at(position: int) -> float:
    """Threshold at a position of the slider: 1 - (1 - p)^2, the scale confidences are stored in."""
    return round(1.0 - (1.0 - position / STEPS) ** 2, 4)


def position_of(threshold: float) -> int:
    """Position of the slider for a threshold."""
    return round(STEPS * (1.0 - math.sqrt(max(0.0, 1.0 - threshold))))


class ThresholdSlider(QWidget):
    """Slider and number; ``moved`` tells of every change a person makes, while dragging too."""

    moved = Signal(float)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setPageStep(STEPS // 20)
        self.slider.setAccessibleName(f"Threshold {name}")
        self.slider.setMinimumWidth(70)
        self.number = QDoubleSpinBox()
        self.number.setRange(0.0, 1.0)
        self.number.setDecimals(3)
        self.number.setSingleStep(0.005)
        self.number.setKeyboardTracking(False)
        self.number.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
        self.number.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.number.setAccessibleName(f"Threshold {name} as a number")
        self.number.setStyleSheet("min-width: 44px; max-width: 52px; padding: 1px 2px;")
        self.number.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setLayout(row(self.slider, self.number, spacing=8))
        self.slider.valueChanged.connect(self._slid)
        self.number.valueChanged.connect(self._typed)

    def value(self) -> float:
        """Return the threshold on display."""
        return float(self.number.value())

    def show_value(self, threshold: float) -> None:
        """Display a threshold without telling anybody; a slider in hand is left where it is."""
        with QSignalBlocker(self.number):
            self.number.setValue(threshold)
        if not self.slider.isSliderDown():
            with QSignalBlocker(self.slider):
                self.slider.setValue(position_of(threshold))

    def _slid(self, position: int) -> None:
        threshold = threshold_at(position)
        with QSignalBlocker(self.number):
            self.number.setValue(threshold)
        self.moved.emit(threshold)

    def _typed(self, threshold: float) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(position_of(threshold))
        self.moved.emit(float(threshold))
