"""Choosing a site by a click on it: Ctrl and the left button, in slices and in 3D."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from napari.viewer import Viewer

from napari_metassl.data.sites import Site
from napari_metassl.widgets.camera import SiteCamera, camera_of
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Notice, Session

NEAR_PIXELS = 6.0
"""A click so close to a discrepant voxel means it."""
STEP = 0.5  # of the smallest voxel side, along the line of sight in 3D


class SitePick:
    """Sets ``session.site`` to the site under the mouse; the view stays as it is."""

    def __init__(self, viewer: Viewer, session: Session, camera: SiteCamera) -> None:
        self.viewer = viewer
        self.session = session
        self.camera = camera
        viewer.mouse_drag_callbacks.append(self._on_press)

    def close(self) -> None:
        """Listen no more."""
        self.viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, viewer: Viewer, event: Any) -> Iterator[None]:
        active = viewer.layers.selection.active
        drawing = active is not None and getattr(active, "mode", "pan_zoom") != "pan_zoom"
        if event.button != 1 or "Control" not in event.modifiers or drawing:
            return
        yield
        while event.type == "mouse_move":
            return  # a drag, not a click
        self._pick(event)

    def _pick(self, event: Any) -> None:
        review = self.session.review
        if review is None or review.sites is None:
            return
        site = self._site_under(event, review)
        if site is None:
            self.session.notice = Notice("Both networks agree there: no site to go to.")
            return
        if site.id >= len(review.sites):
            self.session.listing = replace(self.session.listing, specks=True, only=None)
        with self.camera.staying():
            self.session.site = site.id

    def _site_under(self, event: Any, review: Review) -> Site | None:
        assert review.sites is not None
        geometry = review.images[0].geometry
        spacing, origin = np.asarray(geometry.spacing), np.asarray(geometry.origin)
        place = (np.asarray(event.position)[-3:] - origin) / spacing
        if event.view_direction is not None and len(event.dims_displayed) == 3:
            line = np.asarray(event.view_direction)[-3:] / spacing
            return review.sites.site_along(place, line / np.linalg.norm(line) * STEP)
        voxel = np.rint(place).astype(int)
        if (voxel < 0).any() or (voxel >= review.shape).any():
            return None
        across = next(axis for axis in range(3) if axis not in event.dims_displayed)
        near = NEAR_PIXELS / camera_of(self.viewer).zoom
        return review.sites.site_at(tuple(voxel), near, across)
