"""Bringing a site before the eye: slice, centre and zoom."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.viewer import Viewer

from napari_metassl.data.sites import Site
from napari_metassl.widgets.review import Review

SITE_SHARE = 1 / 3
"""Part of the view that a site fills."""
SMALLEST_VIEW_MM = 45.0
"""So much is seen around even the smallest site, or nobody can tell where it is."""


def go_to_site(viewer: Viewer, review: Review, site: Site) -> None:
    """Step to the site's slice, centre the camera on it and zoom in on it."""
    geometry = review.images[0].geometry
    spacing, origin = np.asarray(geometry.spacing), np.asarray(geometry.origin)
    world = origin + spacing * np.asarray(site.center)
    viewer.dims.set_point(tuple(range(3)), tuple(world))
    displayed = list(viewer.dims.displayed)
    seen = world[displayed]
    camera = camera_of(viewer)
    camera.center = tuple(seen) if len(seen) == 3 else (0.0, *seen)
    size = np.array([part.stop - part.start for part in site.box]) * spacing
    whole = np.asarray(review.shape) * spacing
    wanted = max(float(size[displayed].max()) / SITE_SHARE, SMALLEST_VIEW_MM)
    view = min(wanted, float(whole[displayed].max()))
    camera.zoom = min(canvas_size(viewer)) / view


def camera_of(viewer: Any) -> Any:
    """Return the viewer's camera; napari before 0.9 keeps it elsewhere."""
    return getattr(viewer, "scene", viewer).camera


def canvas_size(viewer: Any) -> tuple[int, int]:
    """Size of the canvas in pixels; napari before 0.9 keeps it elsewhere."""
    canvas = getattr(viewer, "canvas", None)
    height, width = getattr(viewer, "_canvas_size", (600, 800)) if canvas is None else canvas.size
    return int(height), int(width)
