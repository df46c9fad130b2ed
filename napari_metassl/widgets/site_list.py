"""The list of sites with what belongs to it: order, filter, folded specks, the site at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_metassl.widgets.components import button, label, row
from napari_metassl.widgets.review import Listing, SiteOrder, SiteStatus
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.site_table import SiteTable, describe, list_kinds

REST_MS = 80
"""The list is sorted again when the slider has rested for so long."""
WORST_FIRST = (SiteOrder.DS, SiteOrder.UNCERTAINTY, SiteOrder.SIZE)
SHOWN = (None, *SiteStatus)


class SiteList(QWidget):
    """Shows ``session.listing`` of the sites and lets a person change it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.session = session
        self.order = self._choice([f"by {order}" for order in WORST_FIRST], self._set_order)
        self.order.setToolTip(
            "What makes a site worse than another: its discrepant and suspicious volume, the "
            "volume that is wrong if the confidences can be believed, or its size"
        )
        self.only = self._choice([str(status or "all") for status in SHOWN], self._set_only)
        self.only.setToolTip("List the sites of one status only")
        self.table = SiteTable()
        self.table.chosen.connect(self._choose)
        self.table.order_asked.connect(self._on_title)
        self.specks = button(
            "",
            self._toggle_specks,
            tone="link",
            tip="Places too small to be walked through, or beyond the twenty largest; click to "
            "list them",
        )
        self.about = label("", "muted")
        self.about.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        line = row(label("Worst first"), self.order, label("Show"), self.only)
        line.addStretch(1)
        layout.addLayout(line)
        layout.addWidget(self.table, 1)
        self.specks.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        below = row(self.about, self.specks)
        below.setStretch(0, 1)
        layout.addLayout(below)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.refresh)
        session.events.review.connect(self.refresh)
        session.events.listing.connect(self.refresh)
        session.events.site.connect(self._on_site)
        session.partitioned.connect(self._refresh_later)
        session.edited.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """List the sites again, with their status and rank of now."""
        self._rest.stop()
        review, listing = self.session.review, self.session.listing
        entries = [] if review is None else review.ranked(listing)
        self.table.show_sites(
            entries, () if review is None else review.class_names, self.session.site
        )
        self.table.show_order(listing.by, listing.turned)
        self._show_choices(listing)
        self._show_specks(listing)
        self._show_about()

    def _show_choices(self, listing: Listing) -> None:
        order = WORST_FIRST.index(listing.by) if listing.by in WORST_FIRST else -1
        for box, place in ((self.order, order), (self.only, SHOWN.index(listing.only))):
            with QSignalBlocker(box):
                box.setCurrentIndex(place)

    def _show_specks(self, listing: Listing) -> None:
        review = self.session.review
        sites = None if review is None else review.sites
        self.specks.setVisible(sites is not None and sites.folded > 0)
        if sites is not None:
            arrow = "▾" if listing.specks else "▸"
            self.specks.setText(f"{arrow} {sites.folded} smaller, {sites.folded_ml:.2f} mL")

    def _show_about(self) -> None:
        """Say what the site at hand is."""
        review = self.session.review
        site = None if review is None else review.site(self.session.site)
        if site is None:
            self.about.clear()
        if review is not None and site is not None:
            entry = review.entry_of(site)
            what = describe(entry, review.class_names)
            self.about.setText(what)
            self.about.setToolTip(f"{what}\n\n{list_kinds(entry, review.class_names)}")

    def _refresh_later(self) -> None:
        self._rest.start()

    def _on_site(self, site: int | None) -> None:
        self.table.mark(site)
        self._show_about()

    # -- what a person changes

    def _choose(self, site: int) -> None:
        self.session.site = site

    def _on_title(self, by: SiteOrder) -> None:
        listing = self.session.listing
        turned = not listing.turned if listing.by is by else False
        self.session.listing = replace(listing, by=by, turned=turned)

    def _set_order(self, place: int) -> None:
        self.session.listing = replace(self.session.listing, by=WORST_FIRST[place], turned=False)

    def _set_only(self, place: int) -> None:
        self.session.listing = replace(self.session.listing, only=SHOWN[place])

    def _toggle_specks(self) -> None:
        self.session.listing = replace(self.session.listing, specks=not self.session.listing.specks)

    def _choice(self, texts: list[str], chosen: Callable[[int], None]) -> QComboBox:
        box = QComboBox()
        box.addItems(texts)
        box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        box.activated.connect(chosen)
        return box
