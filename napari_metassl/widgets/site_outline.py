"""The outline of the site at hand, so that nobody has to guess which spot is meant."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.events import Event
from napari.viewer import Viewer

from napari_metassl.data.sites import Site
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import SITE_COLOR

NAME = "site at hand"


class SiteOutline:
    """One small labels layer, as large as the box around the site.

    It lies around the voxels of the site, not on them: their region stays to be seen.
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.layer: Labels | None = None
        session.events.site.connect(self._on_site)
        session.events.review.connect(self._on_review)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Take the layer out and listen no more."""
        self.session.events.site.disconnect(self._on_site)
        self.session.events.review.disconnect(self._on_review)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _on_review(self) -> None:
        self._on_site(self.session.site)

    def _on_site(self, number: int | None) -> None:
        review = self.session.review
        site = None if review is None else review.site(number)
        if review is None or site is None:
            if self.layer is not None:
                self.layer.visible = False
            return
        self._show(*around(site, review))

    def _show(self, data: np.ndarray[Any, Any], place: dict[str, Any]) -> None:
        if self.layer is None:
            active = self.viewer.layers.selection.active
            colors = {None: "transparent", 0: "transparent", 1: SITE_COLOR}
            self.layer = Labels(
                data,
                name=NAME,
                colormap=DirectLabelColormap(color_dict=colors),
                opacity=0.9,
                units=("mm",) * 3,
                axis_labels=("z", "y", "x"),
                **place,
            )
            self.viewer.add_layer(self.layer)
            self.viewer.layers.selection.active = active
        else:
            self.layer.data = data
            self.layer.scale, self.layer.translate = place["scale"], place["translate"]
            self.layer.visible = True
        self.layer.editable = False
        layers = self.viewer.layers
        if layers[-1] is not self.layer:
            layers.move(layers.index(self.layer), len(layers))

    def _on_removed(self, event: Event) -> None:
        if event.value is self.layer:
            self.layer = None  # it comes back with the next site


def around(site: Site, review: Review) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """Return the voxels that touch a site from outside, within slices, and where they lie."""
    low = [max(0, part.start - 1) for part in site.box]
    high = [min(size, part.stop + 1) for part, size in zip(site.box, review.shape, strict=True)]
    inside = np.zeros([b - a for a, b in zip(low, high, strict=True)], bool)
    places = np.unravel_index(site.voxels, review.shape)
    inside[tuple(axis - start for axis, start in zip(places, low, strict=True))] = True
    grown = inside.copy()
    for axis in (1, 2):
        ahead: list[slice] = [slice(None)] * 3
        behind = ahead.copy()
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        grown[tuple(ahead)] |= inside[tuple(behind)]
        grown[tuple(behind)] |= inside[tuple(ahead)]
    geometry = review.images[0].geometry
    spacing, origin = np.asarray(geometry.spacing), np.asarray(geometry.origin)
    place = {"scale": tuple(spacing), "translate": tuple(origin + spacing * np.asarray(low))}
    return (grown & ~inside).astype(np.uint8), place
