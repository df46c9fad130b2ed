"""Bringing a site before the eye: slice, centre and zoom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from napari.utils.events import Event
from napari.viewer import Viewer

from napari_metassl.data.site_groups import scale_of
from napari_metassl.data.sites import Box, Site
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Session

SITE_SHARE = 1 / 3
"""Part of the view that a site fills."""
SMALLEST_VIEW_MM = 45.0
"""So much is seen around even the smallest site, or nobody can tell where it is."""


class SiteCamera:
    """Looks at ``session.site``, and again when the person turns the view another way."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self._staying = False
        session.events.site.connect(self._look)
        # Last: napari shows the whole volume on both events, which comes before the site.
        viewer.dims.events.order.connect(self._on_turned, position="last")
        viewer.dims.events.ndisplay.connect(self._on_turned, position="last")

    def close(self) -> None:
        """Listen no more."""
        self.session.events.site.disconnect(self._look)
        self.viewer.dims.events.order.disconnect(self._on_turned)
        self.viewer.dims.events.ndisplay.disconnect(self._on_turned)

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Leave slice and zoom as they are: the person sees the next site already."""
        self._staying = True
        try:
            yield
        finally:
            self._staying = False

    def _on_turned(self, _event: Event) -> None:
        self._look()

    def _look(self) -> None:
        review = self.session.review
        site = None if review is None else review.site(self.session.site)
        if review is not None and site is not None and not self._staying:
            go_to_site(self.viewer, review, site)


def go_to_site(viewer: Viewer, review: Review, site: Site) -> None:
    """Step to the site's most telling slice of the plane at hand and zoom in on it.

    In 3D the whole site is brought to the middle.
    """
    geometry = review.images[0].geometry
    spacing, origin = np.asarray(geometry.spacing), np.asarray(geometry.origin)
    displayed = list(viewer.dims.displayed)
    axis = next(iter(viewer.dims.not_displayed), 0)
    at, box = site.telling_slice(axis, review.suspicious_at(site))
    if len(displayed) == 3:
        box = site.box
    middle = origin + spacing * _middle(box)
    point = middle.copy()
    point[axis] = origin[axis] + spacing[axis] * at
    viewer.dims.point = tuple(point)  # at once: every axis set by itself slices all layers
    camera = camera_of(viewer)
    seen = middle[displayed]
    camera.center = tuple(seen) if len(seen) == 3 else (0.0, *seen)
    size = np.array([part.stop - part.start for part in box]) * spacing
    whole = np.asarray(review.shape) * spacing
    smallest = SMALLEST_VIEW_MM * scale_of(review.shape, review.spacing)
    camera.zoom = zoom_on(size[displayed], whole[displayed], smallest, canvas_size(viewer))


def zoom_on(size: Any, whole: Any, smallest: float, canvas: tuple[int, int]) -> float:
    """Pixels per mm at which a site fills its share of the view.

    Parameters
    ----------
    size, whole
        Of the site and of the volume along the axes on display, in mm.
    smallest
        At least so many mm are seen along the canvas's shorter side ...
    canvas
        ... (height, width) in pixels; no smaller than the whole volume is shown.
    """
    sides = np.asarray(canvas if len(size) == 2 else [min(canvas)] * 3, float)
    wanted = float((sides * SITE_SHARE / size).min())
    fits = float((sides / whole).min())
    return max(min(wanted, min(canvas) / smallest), fits)


def _middle(box: Box) -> Any:
    return np.array([(part.start + part.stop - 1) / 2 for part in box])


def camera_of(viewer: Any) -> Any:
    """Return the viewer's camera; napari before 0.9 keeps it elsewhere."""
    return getattr(viewer, "scene", viewer).camera


def canvas_size(viewer: Any) -> tuple[int, int]:
    """Size of the canvas in pixels; napari before 0.9 keeps it elsewhere."""
    canvas = getattr(viewer, "canvas", None)
    height, width = getattr(viewer, "_canvas_size", (600, 800)) if canvas is None else canvas.size
    return int(height), int(width)
