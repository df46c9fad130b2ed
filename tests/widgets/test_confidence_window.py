"""The confidence window: thresholds dragged on the histogram, and how often confident is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_up_project import make_prediction
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtTest import QTest
from window_driver import Window, click, wait_until

from napari_metassl.data.project import Project
from napari_metassl.data.quadripartition import Reference
from napari_metassl.widgets.threshold_slider import position_of


def open_confidence(window: Window) -> Any:
    window.session.tab = "review"
    QTest.qWait(20)
    click(window.widget.regions_panel.honesty)
    shown = window.widget.regions_panel.confidence
    QTest.qWaitForWindowExposed(shown)
    QTest.qWait(50)
    return shown


def cell(shown: Any, line: int, column: int) -> str:
    return str(shown.table.topLevelItem(line).text(column))


def drag_handle(plot: Any, pixels: int) -> None:
    """Take the threshold line with the mouse and move it."""
    place = plot.getViewBox().mapViewToScene(QPointF(plot.handle.value(), 1.0))
    start = plot.mapFromScene(place)
    viewport = plot.viewport()
    QTest.mouseMove(viewport, start)
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 9):
        QTest.mouseMove(viewport, start + QPoint(pixels * step // 8, 0))
        QTest.qWait(15)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=start + QPoint(pixels, 0))


@pytest.fixture
def predicted(project: Project) -> Project:
    """The validation volume p2 is predicted as well."""
    make_prediction().save(project.prediction_folder("p2"))
    return project


def test_figures_are_those_of_the_validation_volume(window: Window, predicted: Project) -> None:
    window.open(predicted.folder, "p3")
    wait_until(lambda: window.session.queue.entries["p2"].figures is not None)
    shown = open_confidence(window)
    prediction, truth = make_prediction(), predicted.load_labels("p2").data
    rights = set()
    for threshold in (None, 0.7, 0.5):  # None: as the pair learned them
        if threshold is not None:
            window.session.set_threshold(threshold, (0, 1, 2))
            assert cell(shown, 0, 1) == f"{threshold:.3f}"
        thresholds = window.session.thresholds[1]
        for k, name in enumerate(("background", "atrium", "ventricle")):
            confident = (prediction.label(1) == k) & (prediction.confidence(1) > thresholds[k])
            right = 100 * np.mean(truth[confident] == k)
            share = 100 * confident.sum() / (prediction.label(1) == k).sum()
            figures = (f"{thresholds[k]:.3f}", f"{share:.1f} %", f"{right:.1f} %")
            assert cell(shown, k + 1, 0) == name
            assert tuple(cell(shown, k + 1, column) for column in (1, 2, 3)) == figures
            assert f"{right:.0f}" in window.widget.regions_panel.honesty.text()
            rights.add(round(right, 1))
    assert len(rights) > 3
    for reference, words in ((Reference.BOTH, "B right in"), (Reference.SUPERVISED, "▸ right in")):
        click(window.widget.regions_panel.reference_buttons[reference])
        assert words in window.widget.regions_panel.honesty.text()
    assert window.session.thresholds[0][1] == 0.8  # network A's own
    right = 100 * np.mean(truth[(prediction.label(0) == 1) & (prediction.confidence(0) > 0.8)] == 1)
    assert cell(shown, 2, 3) == f"{right:.1f} %" and "network A" in shown.about.text()
    assert shown.right.currentWidget() is shown.reliability
    assert "1 validation volume;" in shown.about.text()
    shown.hide()


def test_the_line_is_dragged_for_all_or_for_one_class(window: Window, predicted: Project) -> None:
    window.open(predicted.folder, "p3")
    shown = open_confidence(window)
    regions = window.viewer.layers["regions"]
    before = np.array(regions._slice.image.raw)
    drag_handle(shown.histogram, 40)
    row = window.session.thresholds[1]
    assert row[0] == row[1] == row[2] > 0.85
    assert shown.histogram.handle.value() == pytest.approx(position_of(row[0]), abs=1)
    assert window.widget.regions_panel.all_classes.value() == pytest.approx(row[0], abs=1e-3)
    assert (np.array(regions._slice.image.raw) != before).any()

    item = shown.table.topLevelItem(2)  # atrium
    QTest.mouseClick(
        shown.table.viewport(), Qt.MouseButton.LeftButton,
        pos=shown.table.visualItemRect(item).center(),
    )  # fmt: skip
    drag_handle(shown.histogram, -60)
    assert window.session.thresholds[1][1] < row[1]
    assert window.session.thresholds[1][0] == row[0] == window.session.thresholds[1][2]
    assert window.session.thresholds[0] == (0.9, 0.8, 0.7)  # network A's stay

    click(window.widget.regions_panel.adaptive)
    assert cell(shown, 2, 1) == "0.850"
    assert shown.histogram.handle.value() == position_of(0.85)
    shown.hide()


def test_without_predicted_validation_volumes_it_says_what_to_do(
    window: Window, project: Project
) -> None:
    from made_up_project import add_pair

    add_pair(project, "first")
    project.set_current_pair("first")
    window.open(project.folder, "p3")
    shown = open_confidence(window)
    assert "predicted by this pair first" in shown.empty.text()
    assert "%" not in window.widget.regions_panel.honesty.text()
    assert cell(shown, 1, 2).endswith("%") and cell(shown, 1, 3) == ""
    click(shown.predict)
    (job,) = window.executor.jobs
    assert job.spec()["volumes"] == ["p2"]
    window.session.volume = "p5"  # nothing is predicted here
    window.wait()
    assert "Open a volume that is predicted" in shown.about.text()
    shown.hide()
