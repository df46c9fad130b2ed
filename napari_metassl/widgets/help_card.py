"""The keys of the review and the colours of the regions, shown and hidden with H."""

from __future__ import annotations

from qtpy.QtWidgets import QGridLayout, QWidget

from napari_metassl.widgets.components import Card, key_text, label
from napari_metassl.widgets.session import KEYS
from napari_metassl.widgets.tool import TOOL_KEYS

NAPARI_KEYS = {
    "P": "paint brush",
    "E": "eraser",
    "F": "fill bucket",
    "3": "polygon",
    "Z": "move the view",
    "[  ]": "brush size",
    "V": "hide the layer",
    "Ctrl+Z": "undo a stroke",
    "Ctrl+click": "site under the mouse",
}
"""Napari's own, where they help most, and the click on a site."""


class HelpCard(Card):
    """All keys at a glance."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Keys", parent)
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(2)
        keys = {key_text(key): str(action) for action, key in KEYS.items()}
        tools = {key_text(key): str(tool) for tool, key in TOOL_KEYS.items()}
        for column, listed in enumerate((keys, tools | NAPARI_KEYS)):
            for line, (key, text) in enumerate(listed.items()):
                grid.addWidget(label(key, "title"), line, 2 * column)
                grid.addWidget(label(text, "muted"), line, 2 * column + 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        self.body.addLayout(grid)
        self.hide()
