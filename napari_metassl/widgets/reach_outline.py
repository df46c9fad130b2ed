"""How far finishing the site at hand will reach, shown before it is finished."""

from __future__ import annotations

import numpy as np
from napari.layers import Vectors
from napari.utils.events import Event
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from napari_metassl.data.sites import Site, site_neighbourhood
from napari_metassl.widgets.camera import camera_of
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.site_outline import Lines, borders
from napari_metassl.widgets.theme import REACH_COLOR

NAME = "seen when finished"
REST_MS = 30
"""The outline follows when the setting has rested for so long."""
WIDTH_PX = 1.6
DASH = 0.6
"""Part of every voxel's edge that is drawn: dashes, where the site has a line."""


class ReachOutline:
    """Dashes along the rim of what counts as seen when the site is finished.

    They lie between voxels and hide none. In slices only: in 3D a shell would hide the site.
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.layer: Vectors | None = None
        self._changing = False
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.refresh)
        self._listening = (
            (session.events.site, self.refresh),
            (session.events.review, self.refresh),
            (session.events.show_reach, self.refresh),
            (session.events.reach_mm, self._on_reach),
            (viewer.dims.events.ndisplay, self._on_dims),
            (viewer.dims.events.order, self._on_dims),
            (camera_of(viewer).events.zoom, self._on_zoom),
            (viewer.layers.events.removed, self._on_removed),
        )
        for signal, slot in self._listening:
            signal.connect(slot)

    def close(self) -> None:
        """Take the layer out and listen no more."""
        self._rest.stop()
        for signal, slot in self._listening:
            signal.disconnect(slot)
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def refresh(self) -> None:
        """Draw the reach around the site at hand, as it is set now."""
        review = self.session.review
        site = None if review is None else review.site(self.session.site)
        shown = self.session.show_reach and self.session.reach_mm > 0
        self._changing = True
        try:
            if review is None or site is None or not shown or self.viewer.dims.ndisplay != 2:
                if self.layer is not None:
                    self.layer.visible = False
            else:
                rows, columns = self.viewer.dims.displayed
                self._show(
                    rim_of_reach(site, review, self.session.reach_mm, (rows, columns)), review
                )
        finally:
            self._changing = False

    def _show(self, edges: Lines, review: Review) -> None:
        place = {**review.images[0].layer_kwargs(), "name": NAME}
        if self.layer is None:
            active = self.viewer.layers.selection.active
            self.layer = Vectors(
                edges,
                edge_color=REACH_COLOR,
                edge_width=self._width(review),
                vector_style="line",
                opacity=0.9,
                **place,
            )
            self.layer.events.visible.connect(self._on_visible)
            self.viewer.add_layer(self.layer)
            self.viewer.layers.selection.active = active
            return
        self.layer.data = edges
        self.layer.scale, self.layer.translate = place["scale"], place["translate"]
        self.layer.edge_width = self._width(review)
        self.layer.visible = True

    def _width(self, review: Review) -> float:
        """Width in voxels that is the same on the screen at any zoom."""
        voxel = min(review.spacing[axis] for axis in self.viewer.dims.displayed)
        return float(WIDTH_PX / max(camera_of(self.viewer).zoom * voxel, 1e-6))

    def _on_reach(self) -> None:
        self._rest.start()

    def _on_dims(self, _event: Event) -> None:
        self.refresh()

    def _on_zoom(self, _event: Event) -> None:
        review = self.session.review
        if self.layer is not None and self.layer.visible and review is not None:
            self.layer.edge_width = self._width(review)

    def _on_visible(self, event: Event) -> None:
        if not self._changing:  # a person used the eye in napari's list of layers
            self.session.show_reach = event.source.visible

    def _on_removed(self, event: Event) -> None:
        if event.value is self.layer:
            self.layer = None  # it comes back with the next site


def rim_of_reach(
    site: Site, review: Review, reach_mm: float, displayed: tuple[int, int] = (1, 2)
) -> Lines:
    """Return the edges between what is within reach and what is not, in every slice.

    Parameters
    ----------
    displayed
        The two axes of a slice.

    Returns
    -------
    (N, 2, 3) float32
        Start and direction of a dash along each edge, in voxels (z, y, x).
    """
    near = site_neighbourhood(site, review.shape, review.spacing, reach_mm)
    places = np.stack(np.unravel_index(near, review.shape))
    low = places.min(axis=1) - 1  # a voxel of room on every side
    inside = np.zeros(places.max(axis=1) - low + 2, np.uint8)
    inside[tuple(places - low[:, None])] = 1
    dashes = borders(inside, low, review.shape, displayed)
    dashes[:, 0] += (1 - DASH) / 2 * dashes[:, 1]
    dashes[:, 1] *= DASH
    return dashes
