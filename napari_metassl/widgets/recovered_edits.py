"""After a kill: what was recovered is shown, one edit after the other, the last one first."""

from __future__ import annotations

import numpy as np
from napari.viewer import Viewer

from napari_metassl.data.corrections import Corrections
from napari_metassl.data.edit_journal import EditRecord
from napari_metassl.widgets.camera import camera_of
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Notice, Session


class RecoveredEdits:
    """Goes to the recovered edits when a person presses the button of the notice."""

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self._of: Corrections | None = None
        self._left = 0
        session.offer_taken.connect(self._on_offer)

    def _on_offer(self, what: str) -> None:
        review = self.session.review
        if what != "recovered" or review is None:
            return
        edits = review.corrections.recovered
        if review.corrections is not self._of:
            self._of, self._left = review.corrections, len(edits)
        if not self._left:
            self._left = len(edits)  # once more from the last one
        if not edits:
            return
        self._left -= 1
        self._show(review, edits[self._left])

    def _show(self, review: Review, edit: EditRecord) -> None:
        places = np.stack(np.unravel_index(edit.runs.voxels, review.shape))
        z = int(np.bincount(places[0]).argmax())
        within = places[1:, places[0] == z]
        y, x = within[:, np.square(within - within.mean(1, keepdims=True)).sum(0).argmin()]
        self.session.tab = "review"
        self._go_to(review, (z, int(y), int(x)))
        total, number = len(review.corrections.recovered), self._left + 1
        self.session.notice = Notice(
            f"Recovered edit {number} of {total}: {edit.action}, {edit.runs.count:,} voxels, by "
            f"{edit.who} at {edit.time.astimezone():%H:%M:%S}.",
            "good",
            offer="The one before" if self._left else "",
            what="recovered",
        )

    def _go_to(self, review: Review, voxel: tuple[int, int, int]) -> None:
        """Step to a voxel and bring it to the middle; the zoom stays."""
        geometry = review.images[0].geometry
        world = np.asarray(geometry.origin) + np.asarray(geometry.spacing) * voxel
        self.viewer.dims.set_point(tuple(range(3)), tuple(world))
        seen = tuple(world[list(self.viewer.dims.displayed)])
        camera_of(self.viewer).center = seen if len(seen) == 3 else (0.0, *seen)
