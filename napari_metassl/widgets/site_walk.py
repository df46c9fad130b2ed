"""Walking through the sites: what next, previous, take, confirm and skip do. Without Qt."""

from __future__ import annotations

from dataclasses import replace

from napari_metassl.data.corrections import Provenance
from napari_metassl.data.proposal import Source
from napari_metassl.data.sites import Site
from napari_metassl.widgets.review import ListedSite, Review, SiteStatus
from napari_metassl.widgets.session import Action, Edit, Notice, Session

TAKEN = {
    Action.TAKE_A: Source.A,
    Action.TAKE_B: Source.B,
    Action.TAKE_IMAGE: Source.IMAGE,
}
WALKING = {Action.NEXT, Action.PREVIOUS, Action.CONFIRM, Action.SKIP, *TAKEN}


class SiteWalk:
    """Listens to ``session.act``; answers by setting ``session.site`` or with an edit."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._finished: list[int] = []  # in order, so that undo can go back to the place
        session.act.connect(self._on_act)
        session.edited.connect(self._on_edited)
        session.events.review.connect(self._finished.clear)

    def _on_act(self, action: Action) -> None:
        review = self.session.review
        if review is None or action not in WALKING:
            return
        ranked = review.ranked(self.session.listing)
        site = review.site(self.session.site)
        if action in (Action.NEXT, Action.PREVIOUS) or site is None:
            # Where no site is at hand the first key press shows one, it does not judge unseen.
            self._step(review, ranked, -1 if action is Action.PREVIOUS else +1)
        else:
            self._finish(review, site, action, ranked)

    def _on_edited(self, _voxels: int) -> None:
        """Go back to a site whose answer was taken back; a stroke taken back leaves the view."""
        review = self.session.review
        history = () if review is None else review.corrections.history
        if review is None or not history or not history[-1].action.startswith("undo"):
            return
        provenance = review.corrections.provenance.reshape(-1)
        for number in reversed(self._finished):
            site = review.site(number)
            if site is not None and (provenance[site.voxels] == Provenance.PREDICTED).any():
                self._finished.remove(number)
                self.session.site = number
                return

    def _finish(self, review: Review, site: Site, action: Action, ranked: list[ListedSite]) -> None:
        reach = self.session.reach_mm
        if action is Action.SKIP:
            review.skipped.add(site.id)
            self.session.edited.emit(0)
        else:
            review.skipped.discard(site.id)
            if action is Action.CONFIRM:
                voxels, values = review.confirm(site, reach)
            else:
                proposal = review.propose(site, TAKEN[action], self.session.grow_mm)
                voxels, values = review.accept(site, proposal, reach)
            before = len(review.corrections.history)
            self.session.edit.emit(Edit(str(action), voxels, values))
            if len(review.corrections.history) > before:
                self._finished.append(site.id)
        if self.session.go_on:
            self._go_on(review, ranked)

    def _step(self, review: Review, ranked: list[ListedSite], by: int) -> None:
        """Go to the next site of the list; past the last one, begin again at the first."""
        if ranked:
            self.session.site = self._from_here(ranked, by)[0].site.id
        else:
            self._say_why_empty(review)

    def _go_on(self, review: Review, ranked: list[ListedSite]) -> None:
        """Go to the next site that is left to do, in the order they were listed in until now."""
        wanted = self.session.listing.only or SiteStatus.OPEN
        now = {e.site.id: e.status for e in review.ranked(replace(self.session.listing, only=None))}
        order = [entry.site.id for entry in self._from_here(ranked, +1)]
        left = [number for number in order if now[number] is wanted]
        if left:
            self.session.site = left[0]
        else:
            self._say_done(review)

    def _from_here(self, ranked: list[ListedSite], by: int) -> list[ListedSite]:
        """Return the list as one comes by its sites from the one at hand on, that one last."""
        ids = [entry.site.id for entry in ranked]
        here = ids.index(self.session.site) if self.session.site in ids else None
        start = (0 if by > 0 else len(ids) - 1) if here is None else here + by
        return [ranked[(start + by * k) % len(ids)] for k in range(len(ids))]

    def _say_done(self, review: Review) -> None:
        statuses = [entry.status for entry in review.ranked()]
        if (count := statuses.count(SiteStatus.OPEN)) > 0:
            self.session.notice = Notice(f"No other site of this list is left; {count} are open.")
            return
        skipped = statuses.count(SiteStatus.SKIPPED)
        left = f"; {skipped} skipped" if skipped else ""
        self.session.notice = Notice(
            f"All {len(statuses)} sites of '{review.name}' are reviewed{left}.",
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
        elif review.sites is not None and len(review.sites):
            self._say_done(review)
        else:
            self.session.notice = Notice(
                f"The two networks agree nearly everywhere in '{review.name}': no site to look at.",
                "good",
                offer="Next volume",
                what="next volume",
            )
