"""What the tools do at the slice on display: each makes one edit, for undo and journal."""

from __future__ import annotations

import numpy as np
from napari.viewer import Viewer

from napari_metassl.data.corrections import BACKGROUND_MARK
from napari_metassl.data.hand_painted import hand_painted
from napari_metassl.data.label_smoothing import smooth_class
from napari_metassl.data.plane import Plane
from napari_metassl.data.slice_copy import copy_slice
from napari_metassl.data.slice_interpolation import interpolate_slices
from napari_metassl.widgets.review import Review, as_marks
from napari_metassl.widgets.session import ERASER, Edit, Notice, Session
from napari_metassl.widgets.tool import Tool

SMOOTHED_MM = 6.0
"""So far around the site at hand an outline is smoothed."""
BY_HAND = {"paint", "replace", "other", Tool.INTERPOLATE, Tool.COPY_BEFORE, Tool.COPY_AFTER}
"""Actions of the journal that count as painted by hand: brush, bucket, polygon and their like."""


class ToolBench:
    """Listens to ``session.use`` and answers with an edit, or says why there is none."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        session.use.connect(self._on_use)

    def close(self) -> None:
        """Listen no more."""
        self.session.use.disconnect(self._on_use)

    def _on_use(self, tool: Tool) -> None:
        review = self.session.review
        if review is None:
            return
        if tool is Tool.BALL:
            self.session.ball = not self.session.ball
            self.session.paint.emit()
        elif self.session.brush == ERASER:
            self._say("Choose a class to paint first: the tools work with what the brush paints.")
        elif tool is Tool.SMOOTH:
            self._smooth(review)
        else:
            self._between_slices(tool, review)

    def _between_slices(self, tool: Tool, review: Review) -> None:
        plane = self._plane(review)
        if plane is None:
            self._say("This tool works on slices. Leave the 3D view first.")
            return
        labels, value = review.corrections.labels, self.session.brush
        if tool is Tool.INTERPOLATE:
            by_hand = hand_painted(review.corrections.history, BY_HAND, value)
            voxels = interpolate_slices(labels, by_hand, value, plane, review.spacing)
            nothing = (
                f"There is nothing to fill: paint {self._name(review)} on a slice before this one "
                "and on one after it, at the same place."
            )
        else:
            step = -1 if tool is Tool.COPY_BEFORE else 1
            voxels = copy_slice(labels, value, plane, step)
            beside = "before" if step < 0 else "after"
            nothing = (
                f"The slice {beside} holds no painted {self._name(review)} that is not painted "
                "over here."
            )
        if not len(voxels):
            self._say(nothing)
            return
        self.session.edit.emit(Edit(str(tool), voxels, np.full(len(voxels), value, np.uint8)))

    def _smooth(self, review: Review) -> None:
        site = review.site(self.session.site)
        if site is None:
            self._say("Go to a site first: the outline is smoothed near it.")
            return
        around = review.surroundings(site, 2 * SMOOTHED_MM)
        corrected = review.corrections.labels[around.box]
        voxels, labels = smooth_class(around, corrected, self.session.brush, SMOOTHED_MM)
        if not len(voxels):
            self._say(f"The outline of {self._name(review)} is smooth near this site already.")
            return
        self.session.edit.emit(Edit(str(Tool.SMOOTH), voxels, as_marks(labels)))

    def _plane(self, review: Review) -> Plane | None:
        """Return the slice on display; None in the 3D view."""
        hidden = self.viewer.dims.not_displayed
        if len(hidden) != 1:
            return None
        axis = int(hidden[0])
        geometry = review.images[0].geometry
        place = (self.viewer.dims.point[axis] - geometry.origin[axis]) / geometry.spacing[axis]
        return Plane(axis, int(np.clip(round(float(place)), 0, review.shape[axis] - 1)))

    def _name(self, review: Review) -> str:
        brush = self.session.brush
        return review.class_names[0 if brush == BACKGROUND_MARK else brush]

    def _say(self, text: str) -> None:
        self.session.notice = Notice(text)
