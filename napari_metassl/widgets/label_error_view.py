"""Bringing a possible label error before the eye: slice, zoom, and an outline around it."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.events import Event
from napari.viewer import Viewer

from napari_metassl.data.label_errors import LabelError
from napari_metassl.widgets.camera import SITE_SHARE, SMALLEST_VIEW_MM, camera_of, canvas_size
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import SITE_COLOR

NAME = "possible label error"


class LabelErrorView:
    """Follows ``session.label_error``; one small labels layer, as large as the box around it."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.layer: Labels | None = None
        session.events.label_error.connect(self._on_label_error)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Take the layer out and listen no more."""
        self.session.events.label_error.disconnect(self._on_label_error)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _on_label_error(self, error: LabelError | None) -> None:
        review = self.session.review
        if error is not None and review is not None:
            self._show(*rim(error, review))
            look_at(self.viewer, review, error)
        elif self.layer is not None:
            self.layer.visible = False

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
            self.layer = None  # it comes back with the next one


def look_at(viewer: Viewer, review: Review, error: LabelError) -> None:
    """Step to the slice that holds most of the place, and zoom in on it."""
    geometry = review.images[0].geometry
    spacing, origin = np.asarray(geometry.spacing), np.asarray(geometry.origin)
    low = np.array([part.start for part in error.box])
    high = np.array([part.stop for part in error.box])
    world = origin + spacing * np.asarray(error.center)
    viewer.dims.set_point(tuple(range(3)), tuple(world))
    displayed = list(viewer.dims.displayed)
    middle = (origin + spacing * (low + high - 1) / 2)[displayed]
    camera = camera_of(viewer)
    camera.center = tuple(middle) if len(middle) == 3 else (0.0, *middle)
    size = float(((high - low) * spacing)[displayed].max())
    whole = float((np.asarray(review.shape) * spacing)[displayed].max())
    seen = min(max(size / SITE_SHARE, SMALLEST_VIEW_MM), whole)
    camera.zoom = min(canvas_size(viewer)) / seen


def rim(error: LabelError, review: Review) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """Return the voxels that touch a place from outside, within slices, and where they lie."""
    low = [max(0, part.start - 1) for part in error.box]
    high = [min(size, part.stop + 1) for part, size in zip(error.box, review.shape, strict=True)]
    inside = np.zeros([b - a for a, b in zip(low, high, strict=True)], bool)
    places = np.unravel_index(error.voxels, review.shape)
    inside[tuple(axis - start for axis, start in zip(places, low, strict=True))] = True
    grown = inside.copy()
    grown[:, 1:] |= inside[:, :-1]
    grown[:, :-1] |= inside[:, 1:]
    grown[:, :, 1:] |= inside[:, :, :-1]
    grown[:, :, :-1] |= inside[:, :, 1:]
    geometry = review.images[0].geometry
    spacing, origin = np.asarray(geometry.spacing), np.asarray(geometry.origin)
    place = {"scale": tuple(spacing), "translate": tuple(origin + spacing * np.asarray(low))}
    return (grown & ~inside).astype(np.uint8), place
