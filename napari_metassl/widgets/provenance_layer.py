"""The layer that shows which voxels a person confirmed and which a person corrected."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.events import Event

from napari_metassl.data.corrections import PROVENANCE_COLORS, Provenance
from napari_metassl.widgets.session import Session

NAMES = {
    "index": [int(provenance) for provenance in Provenance],
    "provenance": [provenance.name.lower() for provenance in Provenance],
}
"""What napari says in its status bar about the voxel under the pointer."""


class ProvenanceLayer(Labels):
    """Visible when ``session.show_provenance`` says so; its eye in napari's list sets that."""

    def __init__(self, data: Any, session: Session, **kwargs: Any) -> None:
        shown = {"features": NAMES, "colormap": colormap(), "visible": session.show_provenance}
        super().__init__(data, **{**kwargs, **shown})
        self._session = session
        session.events.show_provenance.connect(self._on_show)
        session.edited.connect(self._on_edited)
        self.events.visible.connect(self._on_visible)

    @property
    def _type_string(self) -> str:
        """For napari it is a labels layer like any other: icons, saving, menus."""
        return "labels"

    def _on_show(self, show: bool) -> None:
        self.visible = show

    def _on_visible(self, _event: Event) -> None:
        self._session.show_provenance = bool(self.visible)

    def _on_edited(self) -> None:
        if self.visible:
            self.refresh(thumbnail=False, highlight=False, extent=False)


def colormap() -> DirectLabelColormap:
    """Colours of what a person said; what is predicted is not shown."""
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colors |= {int(provenance): color for provenance, color in PROVENANCE_COLORS.items()}
    return DirectLabelColormap(color_dict=colors)
