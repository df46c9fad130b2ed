"""Going from volume to volume in the order they are listed. Without Qt."""

from __future__ import annotations

from napari_metassl.data.volume_queue import VolumeStatus
from napari_metassl.widgets.session import Action, Notice, Session


class VolumeWalk:
    """Listens to ``session.act`` and the offer of the next volume; sets ``session.volume``."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.act.connect(self._on_act)
        session.offer_taken.connect(self._on_offer)

    def _on_act(self, action: Action) -> None:
        if action is Action.NEXT_VOLUME:
            self._next()
        elif action is Action.PREVIOUS_VOLUME:
            self._previous()

    def _on_offer(self, what: str) -> None:
        if what == "next volume":
            self._next()

    def _next(self) -> None:
        """Go to the next volume that is not reviewed; past the last one, begin at the worst.

        Validation volumes, which nobody trains on, are passed over unless nothing else is listed.
        """
        order = self.session.order
        here = order.index(self.session.volume) if self.session.volume in order else -1
        others = [
            self.session.queue.entries[name]
            for name in (*order[here + 1 :], *order[: max(here, 0)])
        ]
        left = [entry for entry in others if entry.status is not VolumeStatus.REVIEWED]
        trained_on = [entry for entry in left if entry.role != "validation"]
        if left:
            self.session.volume = (trained_on or left)[0].name
        elif self.session.project is not None:
            self.session.notice = Notice("No other volume of the list is left to review.", "good")

    def _previous(self) -> None:
        order = self.session.order
        if self.session.volume in order and (here := order.index(self.session.volume)) > 0:
            self.session.volume = order[here - 1]
