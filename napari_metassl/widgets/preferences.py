"""Settings that outlive the window: on a page of napari's Preferences, and followed both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from napari_metassl.method.region import Region
from napari_metassl.widgets.recent_projects import settings
from napari_metassl.widgets.review import Listing, SiteOrder
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.site_list import WORST_FIRST

PLUGIN, SECTION = "napari-metassl", "review"
FIELDS = ("reach_mm", "show_reach", "go_on", "show_provenance", "annotator")
"""Fields of the session that are kept as they are; `visible_regions` has one setting a region."""
RANKING = "rank_by"
"""Setting for `listing.by`."""


class Store(Protocol):
    """Where the settings are kept."""

    def read(self, name: str, default: Any) -> Any:
        """Return what is kept, `default` where nothing is."""

    def write(self, name: str, value: Any) -> None:
        """Keep a value, beyond the end of the program."""

    def listen(self, name: str, changed: Callable[[], None]) -> None:
        """Call `changed` when something else changes the value."""

    def close(self) -> None:
        """Call nobody any more."""


class Preferences:
    """Fills a new session with what is kept; then what changes in either changes in both."""

    def __init__(self, session: Session, store: Store | None = None) -> None:
        self.session = session
        self.store = store or open_store()
        self._listening: list[tuple[Any, Callable[..., None]]] = []
        for name in FIELDS:
            self._follow(name)
        self._take_regions()
        for region in Region:
            self.store.listen(region_setting(region), self._take_regions)
        self._connect("visible_regions", self._keep_regions)
        self._take_ranking()
        self.store.listen(RANKING, self._take_ranking)
        self._connect("listing", self._keep_ranking)

    def close(self) -> None:
        """Let session and store go."""
        for signal, slot in self._listening:
            signal.disconnect(slot)
        self._listening.clear()
        self.store.close()

    def leave_alone(self) -> None:
        """Go back to what a new session has, and keep nothing: for pictures alike everywhere."""
        self.close()
        fresh = Session()
        for name in (*FIELDS, "visible_regions", "listing"):
            setattr(self.session, name, getattr(fresh, name))

    def _follow(self, name: str) -> None:
        def take() -> None:
            setattr(self.session, name, self.store.read(name, getattr(self.session, name)))

        def keep(value: Any) -> None:
            self.store.write(name, value)

        take()
        self.store.listen(name, take)
        self._connect(name, keep)

    def _connect(self, name: str, slot: Callable[..., None]) -> None:
        signal = getattr(self.session.events, name)
        signal.connect(slot)
        self._listening.append((signal, slot))

    def _take_regions(self) -> None:
        shown = self.session.visible_regions
        kept = (r for r in Region if self.store.read(region_setting(r), r in shown))
        self.session.visible_regions = frozenset(kept)

    def _keep_regions(self, regions: frozenset[Region]) -> None:
        for region in Region:
            self.store.write(region_setting(region), region in regions)

    def _take_ranking(self) -> None:
        listing = self.session.listing
        by = SiteOrder(self.store.read(RANKING, str(WORST_FIRST[0])))
        if by != listing.by:
            self.session.listing = replace(listing, by=by, turned=False)

    def _keep_ranking(self, listing: Listing) -> None:
        if listing.by in WORST_FIRST:  # the table's other columns are for a moment only
            self.store.write(RANKING, str(listing.by))


def region_setting(region: Region) -> str:
    """Name of the setting that says whether a region is shown."""
    return f"show_{region.name.lower()}"


def open_store() -> Store:
    """Return napari's own settings of this plugin; a file of ours where napari has none."""
    try:
        from napari.settings import get_plugin_settings

        return NapariStore(getattr(get_plugin_settings(PLUGIN), SECTION))
    except (ImportError, KeyError, AttributeError):  # napari before 0.9, or not installed there
        return FileStore()


class NapariStore:
    """napari keeps, shows and checks the values; the manifest declares them."""

    def __init__(self, section: Any) -> None:
        self._section = section
        self._listening: list[tuple[Any, Callable[..., None]]] = []

    def read(self, name: str, default: Any) -> Any:
        """Return what is kept."""
        return getattr(self._section, name, default)

    def write(self, name: str, value: Any) -> None:
        """Keep a value; napari saves it at once."""
        if getattr(self._section, name) != value:
            setattr(self._section, name, value)

    def listen(self, name: str, changed: Callable[[], None]) -> None:
        """Call `changed` when it is changed on the Preferences page."""

        def slot(_event: Any) -> None:
            changed()

        emitter = getattr(self._section.events, name)
        emitter.connect(slot)
        self._listening.append((emitter, slot))

    def close(self) -> None:
        """Call nobody any more."""
        for emitter, slot in self._listening:
            emitter.disconnect(slot)
        self._listening.clear()


class FileStore:
    """Values in this program's own settings file, which no page shows."""

    def read(self, name: str, default: Any) -> Any:
        """Return what is kept, as the type of `default`."""
        return settings().value(f"{SECTION}/{name}", default, type=type(default))

    def write(self, name: str, value: Any) -> None:
        """Keep a value."""
        settings().setValue(f"{SECTION}/{name}", value)

    def listen(self, name: str, changed: Callable[[], None]) -> None:
        """Nothing else changes them."""

    def close(self) -> None:
        """Nobody is called."""
