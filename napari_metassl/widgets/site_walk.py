"""Walking through the sites: what next, previous, take, confirm and skip do. Without Qt."""

from __future__ import annotations

from napari_metassl.data.prediction import Network
from napari_metassl.data.sites import Site
from napari_metassl.widgets.review import ListedSite, Review, SiteStatus
from napari_metassl.widgets.session import Action, Edit, Notice, Session

NOT_AT_SITES = (Action.HELP, Action.NEXT_VOLUME, Action.PREVIOUS_VOLUME)


class SiteWalk:
    """Listens to ``session.act``; answers by setting ``session.site`` or with an edit."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._finished: list[int] = []  # in order, so that undo can go back to the place
        session.act.connect(self._on_act)
        session.events.review.connect(self._finished.clear)

    def _on_act(self, action: Action) -> None:
        review = self.session.review
        if review is None or action in NOT_AT_SITES:
            return
        if action is Action.UNDO:
            if self._finished:
                self.session.site = self._finished.pop()
            return
        ranked = review.ranked()
        if not ranked:
            self._say_why_empty(review)
            return
        if action is Action.PREVIOUS:
            self._step(ranked, -1)
        elif action is Action.NEXT:
            self._step(ranked, +1)
        elif (site := review.site(self.session.site)) is None:
            self._step(ranked, +1)  # the first key press shows a site, it does not judge unseen
        else:
            self._finish(review, site, action)

    def _finish(self, review: Review, site: Site, action: Action) -> None:
        reach = self.session.reach_mm
        if action is Action.SKIP:
            review.skipped.add(site.id)
            self.session.edited.emit(0)
        else:
            review.skipped.discard(site.id)
            if action is Action.CONFIRM:
                voxels, values = review.confirm(site, reach)
            else:
                network = Network.SUPERVISED if action is Action.TAKE_A else Network.REFERENCE
                voxels, values = review.take(site, network, reach)
            before = len(review.corrections.history)
            self.session.edit.emit(Edit(str(action), voxels, values))
            if len(review.corrections.history) > before:
                self._finished.append(site.id)
        if self.session.go_on:
            self._step(review.ranked(), +1, only_open=True)

    def _step(self, ranked: list[ListedSite], by: int, *, only_open: bool = False) -> None:
        """Go to the next site in rank; past the last one, begin again at the first."""
        review = self.session.review
        assert review is not None
        ids = [entry.site.id for entry in ranked]
        here = ids.index(self.session.site) if self.session.site in ids else None
        start = (0 if by > 0 else len(ids) - 1) if here is None else here + by
        order = [ranked[(start + by * k) % len(ids)] for k in range(len(ids))]
        if only_open:
            order = [entry for entry in order if entry.status is SiteStatus.OPEN]
        if order:
            self.session.site = order[0].site.id
        else:
            self._say_done(review, ranked)

    def _say_done(self, review: Review, ranked: list[ListedSite]) -> None:
        skipped = sum(entry.status is SiteStatus.SKIPPED for entry in ranked)
        left = f"; {skipped} skipped" if skipped else ""
        self.session.notice = Notice(
            f"All {len(ranked)} sites of '{review.name}' are reviewed{left}.",
            "good",
            offer="Next volume",
            what="next volume",
        )

    def _say_why_empty(self, review: Review) -> None:
        if review.prediction is None:
            self.session.notice = Notice(
                f"'{review.name}' has no prediction yet, so there are no sites to go to.",
                offer="Predict it",
                what="predict",
            )
        else:
            self.session.notice = Notice(
                f"The two networks agree everywhere in '{review.name}': no site to look at.",
                "good",
                offer="Next volume",
                what="next volume",
            )
