"""Walking through the sites: the list, the camera, the outline, in slices and in 3D."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from window_driver import Window, click, wait_until

from napari_metassl.data.project import Project
from napari_metassl.data.sites import Site
from napari_metassl.method.region import Region
from napari_metassl.widgets.review import Listing, SiteOrder, SiteStatus
from napari_metassl.widgets.session import Action
from napari_metassl.widgets.site_outline import OPACITY
from napari_metassl.widgets.site_table import ORDERS

CONTROL = Qt.KeyboardModifier.ControlModifier
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(autouse=True)
def upright(window: Window) -> None:
    """Every test begins with axial slices and the list as it is when new."""
    window.viewer.dims.order = (0, 1, 2)
    window.session.listing = Listing()


def site_at_hand(window: Window) -> Site:
    site = window.session.review.site(window.session.site)
    assert site is not None
    return site


def listed(window: Window) -> list[Any]:
    return list(window.widget.correction_panel.table.sites.entries)


def suspicious(window: Window, site: Site) -> Any:
    regions = np.asarray(window.session.review.quadripartition.regions).reshape(-1)
    return regions[site.voxels] == Region.DS


def outlined(window: Window) -> Any:
    """Middles of all lines of the outline, (z, y, x) in voxels of the volume."""
    layer, image = window.viewer.layers["site at hand"], window.session.review.images[0]
    middles = layer.data[:, 0] + layer.data[:, 1] / 2
    world = middles * np.asarray(layer.scale) + np.asarray(layer.translate)
    return (world - np.asarray(image.geometry.origin)) / np.asarray(image.geometry.spacing)


def is_border(window: Window, middles: Any, axes: tuple[int, int]) -> Any:
    """Which of some places lie between a voxel of the site and one outside it."""
    site, review = site_at_hand(window), window.session.review
    inside = np.zeros(np.add(review.shape, 2), bool)
    inside[tuple(site.places + 1)] = True
    found = np.zeros(len(middles), bool)
    for axis in axes:
        step = np.eye(3)[axis] * 0.3
        before, after = (np.rint(middles + s).astype(int) + 1 for s in (-step, step))
        found |= inside[tuple(before.T)] != inside[tuple(after.T)]
    return found


def canvas_point(window: Window, world: Any) -> QPoint:
    """Where a point of the slice on display, (down, right) in mm, is on the canvas."""
    camera = window.viewer.scene.camera
    down, right = (np.asarray(world) - np.asarray(camera.center)[1:]) * camera.zoom
    return window.canvas.rect().center() + QPoint(round(right), round(down))


def control_click(window: Window, at: QPoint) -> None:
    QTest.mouseMove(window.canvas, at)
    QTest.qWait(10)
    QTest.mouseClick(window.canvas, LEFT, CONTROL, at)
    QTest.qWait(10)


def test_next_previous_and_a_click_in_the_list_go_to_sites(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    panel = window.widget.correction_panel
    entries = listed(window)
    assert [e.ds_ml for e in entries] == sorted((e.ds_ml for e in entries), reverse=True)
    click(panel.buttons[Action.NEXT])
    assert site_at_hand(window) is entries[0].site and panel.table.currentIndex().row() == 0
    window.key(Qt.Key.Key_N)
    assert site_at_hand(window) is entries[1].site
    window.key(Qt.Key.Key_J)
    window.key(Qt.Key.Key_J)  # before the first comes the last
    assert site_at_hand(window) is entries[-1].site
    row = panel.table.visualRect(panel.table.sites.index(1, 1)).center()
    QTest.mouseClick(panel.table.viewport(), LEFT, pos=row)
    assert site_at_hand(window) is entries[1].site
    QTest.keyClick(panel.table, Qt.Key.Key_J)  # keys work from the list too
    assert site_at_hand(window) is entries[0].site
    about = panel.sites.about.text()
    assert "A: " in about and f"{entries[0].site.ml:.2f} mL" in about and "confidence" in about


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_the_camera_shows_the_most_telling_slice_of_the_plane_at_hand(
    window: Window, project: Project, order: tuple[int, ...]
) -> None:
    window.open(project.folder)
    window.viewer.dims.order = order
    axis, spacing = order[0], np.asarray(window.session.review.spacing)
    for _ in range(2):
        window.key(Qt.Key.Key_N)
        site = site_at_hand(window)
        at = window.viewer.dims.current_step[axis]
        counts = np.bincount(site.places[axis][suspicious(window, site)])
        assert counts[at] == counts.max() > 0
        inside = site.places[:, site.places[axis] == at]
        low, high = inside.min(1) * spacing, inside.max(1) * spacing
        seen = list(order[1:])
        middle = ((low + high) / 2)[seen]
        np.testing.assert_allclose(window.viewer.scene.camera.center[1:], middle)
        zoom = window.viewer.scene.camera.zoom
        canvas = np.array([window.canvas.height(), window.canvas.width()])
        whole = (np.array(window.session.review.shape) * spacing)[seen]
        share = ((high - low + spacing)[seen] * zoom / canvas).max()
        if np.isclose((whole * zoom / canvas).max(), 1):  # no smaller than the whole volume ...
            assert share >= 1 / 3
        elif np.isclose(share, 1 / 3):
            assert canvas.min() / zoom > 40
        else:  # ... and no larger than what shows where it is
            assert share < 1 / 3 and canvas.min() / zoom == pytest.approx(42)


def test_turning_the_view_looks_at_the_site_again(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    site = site_at_hand(window)
    window.viewer.dims.order = (1, 0, 2)
    counts = np.bincount(site.places[1][suspicious(window, site)])
    assert counts[window.viewer.dims.current_step[1]] == counts.max()
    places = outlined(window)
    assert len(places) and is_border(window, places, (0, 2)).all()
    steps = [axis.step for axis in window.viewer.dims.range]
    assert steps == list(window.session.review.spacing)  # no finer than the voxels


def test_the_outline_goes_around_the_site_and_stays_on_top(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    places = outlined(window)
    assert len(places) and is_border(window, places, (1, 2)).all()
    site = site_at_hand(window)
    assert set(np.rint(places[:, 0])) == set(site.places[0])
    assert window.viewer.layers.selection.active.name == "corrections"
    layer, camera = window.viewer.layers["site at hand"], window.viewer.scene.camera
    width = layer.edge_width * camera.zoom
    camera.zoom *= 4
    assert layer.edge_width * camera.zoom == pytest.approx(width)  # thin at any zoom
    window.viewer.layers.remove("site at hand")
    window.key(Qt.Key.Key_N)
    assert window.viewer.layers["site at hand"].visible
    assert window.viewer.layers[-1].name == "site at hand"
    window.session.volume = "p4"
    window.wait()
    assert not window.viewer.layers["site at hand"].visible


def test_the_outline_pulses_once_and_ends(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    layer, timer = window.viewer.layers["site at hand"], window.widget.outline._pulse
    seen: set[float] = set()
    wait_until(lambda: seen.add(round(layer.opacity, 3)) or not timer.isActive(), 10)
    assert min(seen) < 0.5 < layer.opacity == OPACITY
    window.key(Qt.Key.Key_N)
    wait_until(lambda: layer.opacity < 0.6)
    window.key(Qt.Key.Key_N)  # the next site's begins anew
    assert layer.opacity == OPACITY and timer.isActive()
    window.session.volume = "p4"
    window.wait()
    assert not timer.isActive()


def test_in_3d_the_whole_site_is_in_the_middle(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    window.viewer.window._qt_viewer.viewerButtons.ndisplayButton.click()
    assert window.viewer.dims.ndisplay == 3
    spacing = np.asarray(window.session.review.spacing)
    for _ in range(2):
        site = site_at_hand(window)
        layer = window.viewer.layers["site at hand in 3D"]
        assert layer.visible and not window.viewer.layers["site at hand"].visible
        world = layer.data_to_world(np.argwhere(layer.data)[-1])  # in the order of the voxels
        np.testing.assert_allclose(world, site.places[:, -1] * spacing)
        assert np.asarray(layer.data).sum() == len(site.voxels)
        middle = (site.places.min(1) + site.places.max(1)) / 2 * spacing
        np.testing.assert_allclose(window.viewer.scene.camera.center, middle)
        window.key(Qt.Key.Key_N)
    shown = window.viewer.layers["regions"].colormap.color_dict
    assert shown[int(Region.DS)][3] == 1 and shown[int(Region.US)][3] == 0
    window.viewer.dims.ndisplay = 2
    assert window.viewer.layers["regions"].colormap.color_dict[int(Region.US)][3] == 1
    assert not window.viewer.layers["site at hand in 3D"].visible
    site = site_at_hand(window)
    assert len(outlined(window)) and site.box[0].start <= window.viewer.dims.current_step[0]


def test_a_click_on_a_column_lists_by_it_and_the_walk_follows(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    sites = window.widget.correction_panel.sites
    header = sites.table.horizontalHeader()

    def click_title(order: SiteOrder) -> None:
        column = ORDERS.index(order)
        at = QPoint(header.sectionPosition(column) + 10, header.height() // 2)
        QTest.mouseClick(header.viewport(), LEFT, pos=at)

    click_title(SiteOrder.SIZE)
    sizes = [e.site.ml for e in listed(window)]
    assert sizes == sorted(sizes, reverse=True) and sites.order.currentText() == "by size"
    click_title(SiteOrder.SIZE)
    assert [e.site.ml for e in listed(window)] == sorted(sizes)
    titles = [sites.table.sites.headerData(n, Qt.Orientation.Horizontal) for n in range(5)]
    assert "mL ▴" in titles
    window.key(Qt.Key.Key_N)
    assert site_at_hand(window).ml == min(sizes)
    click_title(SiteOrder.CLASSES)
    classes = [e.site.classes for e in listed(window)]
    assert classes == sorted(classes)
    QTest.keyClick(sites.order, Qt.Key.Key_Home)
    QTest.keyClick(sites.order, Qt.Key.Key_Down)
    assert window.session.listing.by is SiteOrder.UNCERTAINTY
    unsure = [e.site.expected_error_ml for e in listed(window)]
    assert unsure == sorted(unsure, reverse=True)


def test_only_open_sites_are_listed_when_asked(window: Window, project: Project) -> None:
    window.open(project.folder)
    panel = window.widget.correction_panel
    order = [entry.site.id for entry in listed(window)]
    QTest.keyClick(panel.sites.only, Qt.Key.Key_Down)  # "open"
    assert window.session.listing.only is SiteStatus.OPEN
    window.key(Qt.Key.Key_N)
    window.key(Qt.Key.Key_N)
    window.key(Qt.Key.Key_K)
    assert [e.site.id for e in listed(window)] == [order[0], *order[2:]]
    assert window.session.site == order[2]  # it went on from where it was, not to the first
    window.key(Qt.Key.Key_G)
    assert panel.progress_text.text() == f"1 of {len(order)} reviewed"
    for _ in range(len(order) - 2):
        window.key(Qt.Key.Key_K)
    assert not listed(window) and "1 skipped" in window.session.notice.text
    assert window.session.notice.offer == "Next volume"
    window.key(Qt.Key.Key_N)
    assert "reviewed" in window.session.notice.text
    QTest.keyClick(panel.sites.only, Qt.Key.Key_Home)  # "all"
    assert len(listed(window)) == len(order)


def test_smaller_places_are_folded_and_can_be_listed(window: Window, project: Project) -> None:
    window.open(project.folder)
    panel, index = window.widget.correction_panel, window.session.review.sites
    assert index.folded > 0
    assert f"▸ {index.folded} smaller" in panel.sites.specks.text()
    assert f"{index.folded_ml:.2f} mL" in panel.sites.specks.text()
    assert len(listed(window)) == len(index)
    click(panel.sites.specks)
    assert len(listed(window)) == index.total and "▾" in panel.sites.specks.text()
    for entry in listed(window)[::-1]:
        if entry.site.id >= len(index):
            break
    window.session.site = entry.site.id
    assert panel.table.currentIndex().isValid()
    window.key(Qt.Key.Key_W)
    labels = window.labels.reshape(-1)[entry.site.voxels]
    assert labels.all() and "0 of" in panel.progress_text.text()  # a speck is not one of the sites
    click(panel.sites.specks)
    assert len(listed(window)) == len(index)


def test_control_click_selects_the_site_there_and_the_view_stays(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    window.key(Qt.Key.Key_N)
    site, spacing = site_at_hand(window), np.asarray(window.session.review.spacing)
    at = window.viewer.dims.current_step[0]
    inside = site.places[:, site.places[0] == at]
    window.session.site = None
    camera = window.viewer.scene.camera
    before = (camera.center, camera.zoom, window.viewer.dims.current_step)
    point = canvas_point(window, (inside[:, 0] * spacing)[1:])
    control_click(window, point)
    assert site_at_hand(window) is site
    assert (camera.center, camera.zoom, window.viewer.dims.current_step) == before
    window.session.site = None
    control_click(window, canvas_point(window, (0.0, 0.0)))  # both say background there
    assert window.session.site is None and "agree there" in window.session.notice.text
    QTest.mouseClick(window.canvas, LEFT, pos=point)  # without Ctrl it is napari's own click
    assert window.session.site is None

    window.viewer.layers["corrections"].mode = "paint"
    control_click(window, point)
    assert window.session.site is None  # the brush has the mouse now
    window.viewer.layers["corrections"].mode = "pan_zoom"


def test_control_click_in_3d(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    window.viewer.dims.ndisplay = 3
    QTest.qWait(50)
    site = site_at_hand(window)
    index, spacing = window.session.review.sites, np.asarray(window.session.review.spacing)
    camera = window.viewer.scene.camera
    place = site.places[:, len(site.voxels) // 2]
    camera.center = tuple(place * spacing)
    QTest.qWait(50)
    window.session.site = None
    center = camera.center
    control_click(window, window.canvas.rect().center())
    ray = np.asarray(camera.view_direction) / spacing
    expected = index.site_along(place.astype(float), ray / np.linalg.norm(ray) / 4)
    assert window.session.site == expected.id
    assert camera.center == center


def test_taking_a_at_a_site_of_several_kinds_is_right_for_every_voxel(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    review = window.session.review
    mixed = [e.site for e in review.ranked() if len(e.site.kinds) > 1]
    assert mixed
    window.session.site = mixed[0].id
    about = window.widget.correction_panel.sites.about
    assert "other kind" in about.text() and about.toolTip().count("A: ") == 1 + len(mixed[0].kinds)
    window.key(Qt.Key.Key_Q)
    said = review.prediction.label(0).reshape(-1)[mixed[0].voxels]
    assert len(np.unique(said)) > 1 or len(mixed[0].kinds) > 1
    np.testing.assert_array_equal(
        window.labels.reshape(-1)[mixed[0].voxels], np.where(said == 0, 255, said)
    )


def test_closing_the_panel_leaves_nothing_of_the_walk_behind(
    window: Window, project: Project, viewer: Any
) -> None:
    layers, mouse = len(viewer.layers), len(viewer.mouse_drag_callbacks)
    other = Window(viewer)
    other.open(project.folder)
    other.session.act.emit(Action.NEXT)
    timer = other.widget.outline._pulse
    assert timer.isActive() and len(viewer.mouse_drag_callbacks) == mouse + 1
    other.close()
    assert not timer.isActive() and len(viewer.mouse_drag_callbacks) == mouse
    assert len(viewer.layers) == layers
    viewer.dims.order = (1, 0, 2)  # nobody looks at a site any more
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
