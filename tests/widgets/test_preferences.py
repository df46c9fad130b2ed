"""Settings a person finds again, in the window and on napari's Preferences page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from napari import settings
from npe2 import PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget
from window_driver import Window, click

import napari_metassl
from napari_metassl.method.region import Region
from napari_metassl.widgets import preferences
from napari_metassl.widgets.preferences import (
    FIELDS,
    RANKING,
    FileStore,
    Preferences,
    region_setting,
)
from napari_metassl.widgets.review import Listing, SiteOrder
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.site_list import WORST_FIRST

MANIFEST = Path(napari_metassl.__file__).with_name("napari.yaml")


@pytest.fixture
def page(window: Window) -> Iterator[Any]:
    """napari's Preferences."""
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    dialog = PreferencesDialog(parent=window.viewer.window._qt_window)
    dialog.show()
    yield dialog
    dialog.close()


def test_the_manifest_says_what_the_session_begins_with() -> None:
    declared = PluginManifest.from_file(MANIFEST).contributions.configurations["review"].properties
    fresh = Session()
    expected = {name: getattr(fresh, name) for name in FIELDS}
    expected |= {region_setting(r): r in fresh.visible_regions for r in Region}
    expected |= {RANKING: str(fresh.listing.by)}
    assert declared[RANKING].enum == [str(order) for order in WORST_FIRST]
    assert {name: entry.default for name, entry in declared.items()} == expected


def test_the_preferences_page_changes_the_window(window: Window, page: Any) -> None:
    names = [page._list.item(n).text() for n in range(page._list.count())]
    assert "MetaSSL" in names
    page._list.setCurrentRow(names.index("MetaSSL"))
    QTest.qWait(20)
    forms = page._stack.currentWidget().findChildren(QWidget)
    fields = next(form.widgets for form in forms if "reach_mm" in getattr(form, "widgets", {}))
    spin = fields["reach_mm"]
    spin.selectAll()
    QTest.keyClicks(spin, "7")
    QTest.mouseClick(fields["show_uc"], Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert window.session.reach_mm == 7.0
    assert window.widget.correction_panel.reach.value() == 7.0
    assert Region.UC in window.session.visible_regions
    assert window.widget.regions_panel.table.ticks[Region.UC].isChecked()
    page.reject()  # Cancel puts back what was
    assert window.session.reach_mm == 3.0 and Region.UC not in window.session.visible_regions


def test_what_is_changed_in_the_window_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "_PLUGIN_SETTINGS", {})
    settings.get_plugin_settings("napari-metassl", path_dir=tmp_path)
    session = Session()
    kept = Preferences(session)
    session.reach_mm = 4.5
    session.go_on = False
    session.annotator = "Zoë"
    session.visible_regions = frozenset({Region.UC})
    session.listing = Listing(by=SiteOrder.SIZE)
    session.listing = Listing(by=SiteOrder.STATUS)  # a click on a title, for a moment
    kept.close()
    stored = yaml.safe_load((tmp_path / "napari-metassl.yaml").read_text(encoding="utf-8"))
    assert stored["review"]["reach_mm"] == 4.5
    session.reach_mm = 9.0  # closed: nobody listens

    monkeypatch.setattr(settings, "_PLUGIN_SETTINGS", {})  # another day
    settings.get_plugin_settings("napari-metassl", path_dir=tmp_path)
    again = Session()
    Preferences(again).close()
    assert (again.reach_mm, again.go_on, again.annotator) == (4.5, False, "Zoë")
    assert again.visible_regions == {Region.UC} and again.listing == Listing(by=SiteOrder.SIZE)


def test_the_panel_s_own_controls_are_kept(window: Window, project: Any) -> None:
    window.open(project.folder)
    section = settings.get_plugin_settings("napari-metassl").review
    panel = window.widget.correction_panel
    click(panel.go_on)
    panel.reach.lineEdit().selectAll()
    QTest.keyClicks(panel.reach, "6")
    QTest.keyClick(panel.reach, Qt.Key.Key_Return)
    click(panel.provenance.show_it)
    assert (section.go_on, section.reach_mm, section.show_provenance) == (False, 6.0, True)


def test_without_napari_s_settings_a_file_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(settings, "get_plugin_settings")
    assert isinstance(preferences.open_store(), FileStore)
    session = Session()
    Preferences(session)
    session.reach_mm = 4.5
    session.show_provenance = True
    session.annotator = "Zoë"
    session.visible_regions = frozenset()
    again = Session()
    Preferences(again)
    assert (again.reach_mm, again.show_provenance, again.annotator) == (4.5, True, "Zoë")
    assert again.visible_regions == frozenset() and again.go_on is True
