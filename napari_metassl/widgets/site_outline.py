"""The outline of the site at hand, so that nobody has to guess which spot is meant."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from napari.layers import Vectors
from napari.utils.events import Event
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from napari_metassl.data.sites import Site
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import SITE_BODY_COLOR, SITE_COLOR

NAME = "site at hand"
OPACITY = 0.9
LINE_MM = 0.3
"""Width of the line."""
AXIAL = (1, 2)
PULSE_STEPS = 10
PULSE_STEP_MS = 80

Lines = npt.NDArray[np.float32]


class SiteOutline:
    """A vectors layer with the borders of the site's voxels; no voxel is covered.

    In 3D it shows the outlines of all slices, one above the other, through whatever lies before
    them. It pulses once when another site comes to hand.
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.layer: Vectors | None = None
        self._pulse = QTimer()
        self._pulse.setInterval(PULSE_STEP_MS)
        self._pulse.timeout.connect(self._beat)
        self._beats = 0
        session.events.site.connect(self._on_site)
        session.events.review.connect(self._on_review)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.ndisplay.connect(self._on_turned)
        viewer.dims.events.order.connect(self._on_turned)

    def close(self) -> None:
        """Take the layer out and listen no more."""
        self._rest()
        self.session.events.site.disconnect(self._on_site)
        self.session.events.review.disconnect(self._on_review)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_turned)
        self.viewer.dims.events.order.disconnect(self._on_turned)
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _on_review(self) -> None:
        self._show_site()

    def _on_turned(self, _event: Event) -> None:
        self._show_site()

    def _on_site(self) -> None:
        self._rest()
        if self._show_site():
            self._pulse.start()

    def _show_site(self) -> bool:
        """Show the site at hand, if there is one, and say whether."""
        review = self.session.review
        site = None if review is None else review.site(self.session.site)
        if review is None or site is None:
            self._rest()
            if self.layer is not None:
                self.layer.visible = False
            return False
        solid = self.viewer.dims.ndisplay == 3
        axes = AXIAL if solid else self.viewer.dims.displayed
        self._show(outline(site, review.shape, axes), review)
        assert self.layer is not None
        self.layer.edge_width = LINE_MM / min(review.spacing[axis] for axis in axes)
        self.layer.edge_color = SITE_BODY_COLOR if solid else SITE_COLOR
        return True

    def _show(self, lines: Lines, review: Review) -> None:
        place = review.images[0].layer_kwargs()
        if self.layer is None:
            active = self.viewer.layers.selection.active
            self.layer = Vectors(
                lines,
                **{**place, "name": NAME},
                opacity=OPACITY,
                vector_style="line",
                blending="translucent_no_depth",
            )
            self.viewer.add_layer(self.layer)
            self.viewer.layers.selection.active = active
        else:
            self.layer.data = lines
            self.layer.scale, self.layer.translate = place["scale"], place["translate"]
            self.layer.visible = True
        self.layer.editable = False
        layers = self.viewer.layers
        if layers[-1] is not self.layer:
            layers.move(layers.index(self.layer), len(layers))

    def _beat(self) -> None:
        """Fade a little more, then come back."""
        self._beats += 1
        if self.layer is None or self._beats >= PULSE_STEPS:
            self._rest()
            return
        depth = math.sin(math.pi * self._beats / PULSE_STEPS)
        self.layer.opacity = OPACITY * (1 - 0.8 * depth)

    def _rest(self) -> None:
        self._pulse.stop()
        self._beats = 0
        if self.layer is not None:
            self.layer.opacity = OPACITY

    def _on_removed(self, event: Event) -> None:
        if event.value is self.layer:
            self.layer = None  # it comes back with the next site


def outline(site: Site, shape: tuple[int, ...], axes: tuple[int, ...]) -> Lines:
    """Return the borders of a site's voxels in the plane of two axes, (N, 2, 3): start, way.

    In voxels of the volume. What lies on the rim of the volume is drawn on its last voxels: a
    layer that reached further out would shift the slices.
    """
    low = np.array([part.start - 1 for part in site.box])
    inside = np.zeros([part.stop - part.start + 2 for part in site.box], np.int8)
    inside[tuple(site.places - low[:, None])] = 1
    found = []
    for across, along in (axes, axes[::-1]):
        border = np.argwhere(np.diff(inside, axis=across)).astype(np.float32)
        start = border + low
        start[:, across] += 0.5
        start[:, along] -= 0.5
        stop = start.copy()
        stop[:, along] += 1
        found.append(np.stack([start, stop], axis=1))
    ends: Lines = np.clip(np.concatenate(found), 0, np.array(shape) - 1)
    ends[:, 1] -= ends[:, 0]
    return ends
