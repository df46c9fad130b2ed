"""The four regions with their colours, shares and a tick each to show or hide them."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget

from napari_metassl.data.quadripartition import REGION_COLORS
from napari_metassl.method.region import Region
from napari_metassl.widgets.components import label, swatch

MEANINGS: Mapping[Region, str] = {
    Region.UC: "Both networks give the same label, and the reference is sure of it.",
    Region.US: "Both networks give the same label, but the reference is not sure of it.",
    Region.DC: "The networks differ, although the reference is sure of its label.",
    Region.DS: "The networks differ and the reference is not sure: look here first.",
}


class RegionTable(QWidget):
    """Swatch, name, percent and mL of each region; ``toggled`` carries those ticked."""

    toggled = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.ticks: dict[Region, QCheckBox] = {}
        self.percent: dict[Region, QLabel] = {}
        self.ml: dict[Region, QLabel] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        for column, text in ((2, "share"), (3, "mL")):
            grid.addWidget(label(text, "muted"), 0, column, Qt.AlignmentFlag.AlignRight)
        grid.addWidget(label("Show", "muted"), 0, 0)
        for line, region in enumerate((Region.DS, Region.DC, Region.US, Region.UC), start=1):
            self._add(grid, line, region)

    def show_shares(
        self, percent: Mapping[Region, float] | None, ml: Mapping[Region, float] | None
    ) -> None:
        """Write the shares; dashes where there is no prediction."""
        for region in Region:
            if percent is None or ml is None:
                self.percent[region].setText("–")
                self.ml[region].setText("–")
                continue
            self.percent[region].setText(f"{percent[region]:.2f} %")
            self.ml[region].setText(f"{ml[region]:,.2f}")

    def show_visible(self, regions: frozenset[Region]) -> None:
        """Tick what is visible, without telling anybody."""
        for region, tick in self.ticks.items():
            tick.blockSignals(True)
            tick.setChecked(region in regions)
            tick.blockSignals(False)

    def _add(self, grid: QGridLayout, line: int, region: Region) -> None:
        tick = QCheckBox(f"{region.name}  {region.long_name}")
        tick.setIcon(swatch(REGION_COLORS[region]))
        tick.setToolTip(MEANINGS[region])
        tick.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        tick.toggled.connect(lambda _on: self.toggled.emit(self._ticked()))
        grid.addWidget(tick, line, 0, 1, 2)
        self.ticks[region] = tick
        for column, cells, width in ((2, self.percent, 58), (3, self.ml, 56)):
            cell = label("–")
            cell.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            cell.setMinimumWidth(width)
            cell.setToolTip(MEANINGS[region])
            grid.addWidget(cell, line, column)
            cells[region] = cell

    def _ticked(self) -> frozenset[Region]:
        return frozenset(region for region, tick in self.ticks.items() if tick.isChecked())
