"""Keeps the proposal on display up to date with the site, the thresholds and the corrections."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer

from napari_metassl.data.proposal import IMAGE_REACH_MM, Source
from napari_metassl.widgets.session import Action, Session

REST_MS = 60
"""A proposal is made when nothing has changed for so long: walking fast waits for none."""
SMALLEST_STEP_MM = 1.0
MOST_GROWN_MM = 15.0

SHOWN = {
    Action.SHOW_A: Source.A,
    Action.SHOW_B: Source.B,
    Action.SHOW_IMAGE: Source.IMAGE,
}


class Proposing(QObject):
    """Sets ``session.proposal``. It takes 30 ms or so, 120 at most: no thread is needed."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._make)
        session.events.site.connect(self._on_site)
        session.events.review.connect(self._on_site)
        session.events.proposed.connect(self._ask)
        session.events.grow_mm.connect(self._ask)
        session.partitioned.connect(self._ask)
        session.edited.connect(self._ask)
        session.act.connect(self._on_act)

    def close(self) -> None:
        """Make no more."""
        self._rest.stop()

    def _on_site(self) -> None:
        self.session.grow_mm = 0.0
        self._ask()

    def _ask(self) -> None:
        self.session.proposal = None  # what is on display is out of date
        self._rest.start()

    def _make(self) -> None:
        review = self.session.review
        site = None if review is None else review.site(self.session.site)
        if review is not None and site is not None:
            with self.session.telling():
                self.session.proposal = review.propose(
                    site, self.session.proposed, self.session.grow_mm
                )

    def _on_act(self, action: Action) -> None:
        review = self.session.review
        if review is None:
            return
        if action in SHOWN:
            self.session.proposed = SHOWN[action]
        elif action in (Action.GROW, Action.SHRINK) and self.session.site is not None:
            step = max(SMALLEST_STEP_MM, min(review.spacing))
            grown = self.session.grow_mm + (step if action is Action.GROW else -step)
            self.session.grow_mm = min(max(grown, -IMAGE_REACH_MM), MOST_GROWN_MM)
