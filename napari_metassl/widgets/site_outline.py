"""The outline of the site at hand, so that nobody has to guess which spot is meant."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer, Vectors
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.events import Event
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from napari_metassl.data.sites import Site
from napari_metassl.widgets.camera import camera_of
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import SITE_BODY_COLOR, SITE_COLOR

NAME, BODY_NAME = "site at hand", "site at hand in 3D"
OPACITY = 0.9
LINE_PIXELS = 2.5
PULSE_S = 0.8
PULSE_STEP_MS = 80

Lines = npt.NDArray[np.float32]


class SiteOutline:
    """A vectors layer with the borders of the site's voxels in slices: no voxel is covered.

    In 3D it is a body, seen through whatever lies before it. Either pulses once when another site
    comes to hand.

    Attributes
    ----------
    layers
        By name, made when they are needed first; no more than one of them is visible.
    """

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.layers: dict[str, Layer] = {}
        self._pulse = QTimer()
        self._pulse.setInterval(PULSE_STEP_MS)
        self._pulse.timeout.connect(self._beat)
        self._started = 0.0
        session.events.site.connect(self._on_site)
        session.events.review.connect(self._on_review)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.ndisplay.connect(self._on_turned)
        viewer.dims.events.order.connect(self._on_turned)
        camera_of(viewer).events.zoom.connect(self._on_zoom)

    def close(self) -> None:
        """Take the layers out and listen no more."""
        self._rest()
        self.session.events.site.disconnect(self._on_site)
        self.session.events.review.disconnect(self._on_review)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_turned)
        self.viewer.dims.events.order.disconnect(self._on_turned)
        camera_of(self.viewer).events.zoom.disconnect(self._on_zoom)
        for layer in self.layers.values():
            self.viewer.layers.remove(layer)
        self.layers.clear()

    def _on_review(self) -> None:
        self._show_site()

    def _on_turned(self, _event: Event) -> None:
        self._show_site()

    def _on_site(self) -> None:
        self._rest()
        if self._show_site():
            self._started = time.monotonic()
            self._pulse.start()

    def _show_site(self) -> bool:
        """Show the site at hand, if there is one, and say whether."""
        review = self.session.review
        site = None if review is None else review.site(self.session.site)
        if review is None or site is None:
            self._rest()
            self._hide_but("")
            return False
        if self.viewer.dims.ndisplay == 3:
            place = review.images[0].layer_kwargs()
            corner = np.array([part.start for part in site.box])
            place["translate"] = tuple(place["translate"] + corner * place["scale"])
            self._show(BODY_NAME, body(site), place)
        else:
            lines = outline(site, review.shape, self.viewer.dims.displayed)
            self._show(NAME, lines, review.images[0].layer_kwargs())
            self._on_zoom()
        return True

    def _show(self, name: str, data: npt.NDArray[Any], place: dict[str, Any]) -> None:
        self._hide_but(name)
        layer = self.layers.get(name)
        if layer is None:
            active = self.viewer.layers.selection.active
            layer = self.layers[name] = _new_layer(data, {**place, "name": name})
            self.viewer.add_layer(layer)
            self.viewer.layers.selection.active = active
        else:
            layer.data = data
            for key in ("scale", "translate"):
                if not np.allclose(getattr(layer, key), place[key]):  # each costs a redraw
                    setattr(layer, key, place[key])
            layer.visible = True
        layer.editable = False
        layers = self.viewer.layers
        if layers[-1] is not layer:
            layers.move(layers.index(layer), len(layers))

    def _hide_but(self, name: str) -> None:
        for other, layer in self.layers.items():
            if other != name:
                layer.visible = False

    def _on_zoom(self, _event: Event | None = None) -> None:
        """Keep the line as wide as it is on the screen."""
        layer = self.layers.get(NAME)
        if layer is not None and layer.visible:
            side = min(layer.scale[axis] for axis in self.viewer.dims.displayed)
            layer.edge_width = LINE_PIXELS / camera_of(self.viewer).zoom / side

    def _beat(self) -> None:
        """Fade a little more, then come back; by the clock, so that a slow screen ends in time."""
        part = (time.monotonic() - self._started) / PULSE_S
        if part >= 1:
            self._rest()
        else:
            self._set_opacity(OPACITY * (1 - 0.8 * math.sin(math.pi * part)))

    def _rest(self) -> None:
        self._pulse.stop()
        self._set_opacity(OPACITY)

    def _set_opacity(self, opacity: float) -> None:
        for layer in self.layers.values():
            if layer.opacity != opacity:
                layer.opacity = opacity

    def _on_removed(self, event: Event) -> None:
        gone = [name for name, layer in self.layers.items() if layer is event.value]
        for name in gone:
            del self.layers[name]  # it comes back with the next site


def _new_layer(data: npt.NDArray[Any], settings: dict[str, Any]) -> Layer:
    """Return lines for slices, a body for 3D."""
    settings |= {"opacity": OPACITY, "blending": "translucent_no_depth"}
    if settings["name"] == NAME:
        return Vectors(data, vector_style="line", edge_color=SITE_COLOR, **settings)
    colors = {None: "transparent", 0: "transparent", 1: SITE_BODY_COLOR}
    return Labels(data, colormap=DirectLabelColormap(color_dict=colors), **settings)


def body(site: Site) -> npt.NDArray[np.uint8]:
    """Return the voxels in the box of a site, 1 where they belong to it."""
    inside = np.zeros([part.stop - part.start for part in site.box], np.uint8)
    inside[tuple(site.places - np.array([[part.start] for part in site.box]))] = 1
    return inside


def outline(site: Site, shape: tuple[int, ...], axes: tuple[int, ...]) -> Lines:
    """Return the borders of a site's voxels in the plane of two axes, (N, 2, 3): start, way.

    In voxels of the volume. What lies on the rim of the volume is drawn on its last voxels: a
    layer that reached further out would shift the slices.
    """
    low = np.array([part.start - 1 for part in site.box])
    return borders(np.pad(body(site), 1), low, shape, axes)


def borders(
    inside: npt.NDArray[np.uint8],
    low: npt.NDArray[np.int64],
    shape: tuple[int, ...],
    axes: tuple[int, ...],
) -> Lines:
    """Return the borders of some voxels, as `outline` does; the first of them lies at `low`."""
    found = []
    for across, along in (axes, axes[::-1]):
        border = np.argwhere(np.diff(inside.astype(bool), axis=across)).astype(np.float32)
        start = border + low
        start[:, across] += 0.5
        start[:, along] -= 0.5
        stop = start.copy()
        stop[:, along] += 1
        found.append(np.stack([start, stop], axis=1))
    ends: Lines = np.clip(np.concatenate(found), 0, np.array(shape) - 1)
    ends[:, 1] -= ends[:, 0]
    return ends
