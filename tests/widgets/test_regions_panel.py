"""The threshold followed while it is dragged: shares, layer, sites; and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QStyle, QStyleOptionSlider
from window_driver import Window, click, wait_until

from napari_metassl.data.project import Project
from napari_metassl.data.quadripartition import Reference
from napari_metassl.method.region import Region
from napari_metassl.widgets.threshold_slider import STEPS, position_of, threshold_at


def handle_of(slider: object) -> QPoint:
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    control, part = QStyle.ComplexControl.CC_Slider, QStyle.SubControl.SC_SliderHandle
    return slider.style().subControlRect(control, option, part, slider).center()


def drag_slider(slider: object, pixels: int) -> list[int]:
    """Drag the handle with the mouse; return the positions it passed."""
    passed: list[int] = []
    slider.valueChanged.connect(passed.append)
    start = handle_of(slider)
    QTest.mousePress(slider, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 9):
        QTest.mouseMove(slider, start + QPoint(pixels * step // 8, 0))
        QTest.qWait(2)
    QTest.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=start + QPoint(pixels, 0))
    slider.valueChanged.disconnect(passed.append)
    return passed


def shown_slice(window: Window) -> np.ndarray:
    return np.array(window.viewer.layers["regions"]._slice.image.raw)


def test_scale_is_fine_near_one() -> None:
    assert threshold_at(0) == 0.0 and threshold_at(STEPS) == 1.0
    assert threshold_at(951) - threshold_at(950) < 2e-4
    for threshold in (0.3, 0.5, 0.9, 0.99):
        assert threshold_at(position_of(threshold)) == pytest.approx(threshold, abs=1e-3)


def test_dragging_moves_regions_and_shares_without_touching_the_data(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    panel = window.widget.regions_panel
    layer = window.viewer.layers["regions"]
    data, before = layer.data, shown_slice(window)
    texts = {region: cell.text() for region, cell in panel.table.percent.items()}
    seen: list[str] = []
    window.session.partitioned.connect(lambda: seen.append(panel.table.percent[Region.UC].text()))

    passed = drag_slider(panel.all_classes.slider, 60)
    assert len(passed) > 3 and len(set(seen)) > 2  # it follows while it is dragged
    assert layer.data is data and window.viewer.layers["regions"] is layer
    assert (shown_slice(window) != before).any()
    assert panel.table.percent[Region.DS].text() != texts[Region.DS]
    shares = {r: float(cell.text().rstrip(" %")) for r, cell in panel.table.percent.items()}
    assert sum(shares.values()) == pytest.approx(100, abs=0.03)
    counted = np.bincount(np.asarray(layer.data).ravel(), minlength=5)
    assert shares[Region.DS] == pytest.approx(100 * counted[4] / counted.sum(), abs=0.01)

    click(panel.adaptive)
    assert {r: cell.text() for r, cell in panel.table.percent.items()} == texts
    np.testing.assert_array_equal(shown_slice(window), before)
    assert not panel.adaptive.isEnabled()


def test_undo_survives_a_moved_threshold(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.viewer.layers["corrections"].mode = "paint"
    window.drag((0, 0), (30, 0))
    assert window.labels.any()
    drag_slider(window.widget.regions_panel.all_classes.slider, -40)
    window.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not window.labels.any()


def test_one_class_apart(window: Window, project: Project) -> None:
    window.open(project.folder)
    panel = window.widget.regions_panel
    click(panel.more)
    QTest.qWait(10)
    atrium = panel.classes[1]
    assert atrium.isVisible() and atrium.value() == 0.85
    atrium.number.setFocus()
    atrium.number.selectAll()
    QTest.keyClicks(atrium.number, "0.6")
    QTest.keyClick(atrium.number, Qt.Key.Key_Return)
    assert window.session.thresholds == ((0.9, 0.8, 0.7), (0.9, 0.6, 0.75))
    click(panel.more)
    assert not atrium.isVisible() and "0.600" in panel.more.text()


def test_reference_and_regions_on_display(window: Window, project: Project) -> None:
    window.open(project.folder)
    panel, quadripartition = window.widget.regions_panel, window.session.review.quadripartition
    shares = {}
    for reference, button in panel.reference_buttons.items():
        click(button)
        assert window.session.reference is reference
        shares[reference] = quadripartition.shares()[Region.UC]
    assert shares[Reference.BOTH] < min(shares[Reference.SUPERVISED], shares[Reference.REFERENCE])
    click(panel.reference_buttons[Reference.SUPERVISED])
    confidence = window.viewer.layers["confidence"].data
    np.testing.assert_array_equal(
        np.asarray(confidence), window.session.review.prediction.confidence(0)
    )

    colors = window.viewer.layers["regions"].colormap.color_dict
    assert colors[4][3] == 1 and colors[1][3] == 0  # UC starts hidden: it would hide the image
    panel.table.ticks[Region.UC].click()
    panel.table.ticks[Region.DS].click()
    colors = window.viewer.layers["regions"].colormap.color_dict
    assert colors[4][3] == 0 and colors[1][3] == 1


def test_ranking_follows_when_the_slider_rests(window: Window, project: Project) -> None:
    window.open(project.folder)
    table = window.widget.correction_panel.table
    before = [entry.ds_ml for entry in table.sites.entries]
    assert before == sorted(before, reverse=True)
    drag_slider(window.widget.regions_panel.all_classes.slider, 80)
    wait_until(lambda: [entry.ds_ml for entry in table.sites.entries] != before)
    after = [entry.ds_ml for entry in table.sites.entries]
    assert after == sorted(after, reverse=True)
