"""The outline of the proposed correction of the site at hand, in the colour of the class to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.events import Event
from napari.viewer import Viewer

from napari_metassl.data.corrections import BACKGROUND_MARK
from napari_metassl.data.proposal import Proposal
from napari_metassl.widgets.review import Review, as_marks
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import PROPOSED_BACKGROUND_COLOR

NAME = "proposal"


class ProposalOutline:
    """One small labels layer, as large as the box around what would change."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self.layer: Labels | None = None
        session.events.proposal.connect(self._on_proposal)
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Take the layer out and listen no more."""
        self.session.events.proposal.disconnect(self._on_proposal)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        if self.layer is not None:
            self.viewer.layers.remove(self.layer)
        self.layer = None

    def _on_proposal(self, proposal: Proposal | None) -> None:
        review = self.session.review
        if review is not None and proposal is not None and proposal.changed.any():
            self._show(review, *changes(proposal, review))
        elif self.layer is not None:
            self.layer.visible = False

    def _show(self, review: Review, data: np.ndarray[Any, Any], place: dict[str, Any]) -> None:
        colors = proposal_colormap(review.class_colors)
        if self.layer is None:
            active = self.viewer.layers.selection.active
            self.layer = Labels(
                data,
                name=NAME,
                colormap=colors,
                opacity=1.0,
                units=("mm",) * 3,
                axis_labels=("z", "y", "x"),
                **place,
            )
            self.layer.contour = 1
            self.viewer.add_layer(self.layer)
            self.viewer.layers.selection.active = active
        else:
            self.layer.data = data
            self.layer.colormap = colors
            self.layer.scale, self.layer.translate = place["scale"], place["translate"]
            self.layer.visible = True
        self.layer.editable = False
        layers = self.viewer.layers
        if self.layer not in layers[-2:]:  # the outline of the site may lie above it
            layers.move(layers.index(self.layer), len(layers))

    def _on_removed(self, event: Event) -> None:
        if event.value is self.layer:
            self.layer = None  # it comes back with the next proposal


def changes(proposal: Proposal, review: Review) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    """Return what voxels would become, 0 where nothing changes, and where the array lies."""
    places = np.stack(np.unravel_index(proposal.voxels[proposal.changed], review.shape))
    low = np.maximum(places.min(axis=1) - 1, 0)  # a rim, or the outline would be open there
    high = np.minimum(places.max(axis=1) + 2, review.shape)
    data = np.zeros(high - low, np.uint8)
    data[tuple(places - low[:, None])] = as_marks(proposal.labels[proposal.changed])
    geometry = review.images[0].geometry
    spacing, origin = np.asarray(geometry.spacing), np.asarray(geometry.origin)
    return data, {"scale": tuple(spacing), "translate": tuple(origin + spacing * low)}


def proposal_colormap(class_colors: tuple[str, ...]) -> DirectLabelColormap:
    """Class colours, and one of its own for what would become background."""
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colors |= {k: color for k, color in enumerate(class_colors) if k > 0}
    colors[BACKGROUND_MARK] = PROPOSED_BACKGROUND_COLOR
    return DirectLabelColormap(color_dict=colors)
