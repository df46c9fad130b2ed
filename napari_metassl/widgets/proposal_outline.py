"""The outline of the proposed correction of the site at hand, in the colour of the class to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Vectors
from napari.utils.colormaps.standardize_color import transform_color
from napari.utils.events import Event
from napari.viewer import Viewer

from napari_metassl.data.outline import outline
from napari_metassl.data.proposal import Proposal
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import PROPOSED_BACKGROUND_COLOR

NAME = "proposal"
WIDTH = 0.35
"""Of the lines, as a part of the finest voxel side: a change of one voxel has an inside."""


class ProposalOutline:
    """Lines around what would change, in a layer of vectors: they are thinner than a voxel."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.layer: Vectors | None = None
        session.events.proposal.connect(self._draw)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.order.connect(self._draw_again)

    def close(self) -> None:
        """Take the layer out and listen no more."""
        self.session.events.proposal.disconnect(self._draw)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.dims.events.order.disconnect(self._draw_again)
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _draw_again(self, _event: Event) -> None:
        self._draw()

    def _draw(self) -> None:
        review, proposal = self.session.review, self.session.proposal
        if review is None or proposal is None or not proposal.changed.any():
            if self.layer is not None:
                self.layer.visible = False
            return
        # In slices of the axis the view is perpendicular to; in 3D those of the last such axis.
        lines, classes = lines_of(proposal, review, int(self.viewer.dims.order[0]))
        colors = transform_color([PROPOSED_BACKGROUND_COLOR, *review.class_colors[1:]])
        self._show(lines, colors[classes], review)

    def _show(self, lines: npt.NDArray[np.float64], colors: Any, review: Review) -> None:
        if self.layer is None:
            self.layer = self._add(lines, review)
        else:
            self.layer.visible = True  # first: a hidden layer does not look at its new data
            self.layer.data = lines
            geometry = review.images[0].geometry
            for place, value in (("scale", geometry.spacing), ("translate", geometry.origin)):
                if not np.allclose(getattr(self.layer, place), value):  # each costs a redraw
                    setattr(self.layer, place, value)
        self.layer.edge_color = colors
        layers = self.viewer.layers
        if layers.index(self.layer) < len(layers) - 2:  # the outline of the site may lie above it
            layers.move(layers.index(self.layer), len(layers))

    def _add(self, lines: npt.NDArray[np.float64], review: Review) -> Vectors:
        active = self.viewer.layers.selection.active
        geometry = review.images[0].geometry
        layer = Vectors(
            lines,
            name=NAME,
            vector_style="line",
            edge_width=WIDTH,
            opacity=1.0,
            scale=geometry.spacing,
            translate=geometry.origin,
            units=("mm",) * 3,
            axis_labels=("z", "y", "x"),
        )
        self.viewer.add_layer(layer)
        self.viewer.layers.selection.active = active
        return layer

    def _on_removed(self, event: Event) -> None:
        if event.value is self.layer:
            self.layer = None  # it comes back with the next proposal


def lines_of(
    proposal: Proposal, review: Review, axis: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Lines around the voxels that would change, in voxels of the volume, and their new classes."""
    places = np.stack(np.unravel_index(proposal.voxels[proposal.changed], review.shape))
    low = places.min(axis=1)
    inside = np.zeros(places.max(axis=1) - low + 1, np.int16)
    inside[tuple(places - low[:, None])] = proposal.labels[proposal.changed].astype(np.int16) + 1
    lines, values = outline(inside, axis)
    lines[:, 0] += low
    return lines, values.astype(np.intp) - 1
