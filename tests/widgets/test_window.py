"""The window as a person meets it: opening, switching, closing, coming back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from window_driver import Window, click, wait_until

from napari_metassl.data.project import Project

CONTROL, NONE = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.NoModifier


def test_opening_shows_layers_in_mm_with_the_corrections_on_top(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    layers = window.viewer.layers
    assert [layer.name for layer in layers] == [
        "p3", "confidence", "prediction", "regions", "corrections", "provenance",
    ]  # fmt: skip
    assert layers.selection.active.name == "corrections"
    for layer in layers:
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
        assert tuple(layer.scale) == (2.0, 1.0, 1.0)
        assert layer.axis_labels == ("z", "y", "x")
    review = window.session.review
    assert layers["corrections"].data is review.corrections.labels
    assert not layers["regions"].editable
    np.testing.assert_array_equal(np.asarray(layers["prediction"].data), review.prediction.merged())
    assert window.session.tab == "review"


def test_paint_switch_volume_close_and_reopen(
    window: Window, project: Project, viewer: Any
) -> None:
    window.open(project.folder)
    click(window.widget.correction_panel.brush.buttons[2])
    layer = viewer.layers["corrections"]
    assert str(layer.mode) == "paint" and layer.selected_label == 2
    window.drag((-60, 0), (60, 0))
    painted = layer.data.copy()
    assert (painted == 2).sum() > 20
    journal = project.corrections_folder / "p3.jsonl"
    assert len(journal.read_bytes().splitlines()) == 2  # the stroke is one record

    click(window.widget.volume_bar.next)
    window.wait()
    assert window.session.review.name == "p4"
    assert not viewer.layers["corrections"].data.any()
    window.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)  # the stroke is p3's
    assert not viewer.layers["corrections"].data.any()
    click(window.widget.volume_bar.previous)
    window.wait()
    np.testing.assert_array_equal(viewer.layers["corrections"].data, painted)


def test_undo_reaches_back_before_the_volume_was_opened(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.viewer.layers["corrections"].mode = "paint"
    states = [window.labels.copy()]
    for y in (-40, 40):
        window.drag((-60, y), (60, y))
        states.append(window.labels.copy())
    window.session.volume = "p4"
    window.wait()
    window.session.volume = "p3"
    window.wait()
    window.viewer.layers["corrections"].mode = "paint"
    window.drag((-60, 0), (60, 0))
    latest = window.labels.copy()
    for key, modifier in ((Qt.Key.Key_U, NONE), (Qt.Key.Key_Z, CONTROL), (Qt.Key.Key_U, NONE)):
        window.key(key, modifier)
        np.testing.assert_array_equal(window.labels, states.pop())
    assert "Taken back from before: paint" in window.session.notice.text
    window.key(Qt.Key.Key_U)
    assert "Nothing is left" in window.session.notice.text and not window.labels.any()
    for _ in range(3):
        window.key(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_array_equal(window.labels, latest)
    window.key(Qt.Key.Key_U)
    seen = Project.open(project.folder).corrections("p3", writable=False)
    np.testing.assert_array_equal(seen.labels, window.labels)
    assert 0 < (seen.labels > 0).sum() < (latest > 0).sum()


def test_volume_without_prediction_can_be_painted(window: Window, project: Project) -> None:
    window.open(project.folder, "p0")
    seen = {layer.name for layer in window.viewer.layers if layer.visible}
    assert seen == {"p0", "manual labels", "corrections"}  # nothing of the volume before
    panel = window.widget.correction_panel
    assert "no prediction" in panel.empty.text() and panel.empty.isVisible()
    assert not window.widget.regions_panel.isEnabled()
    window.viewer.layers["corrections"].mode = "paint"
    window.drag((0, 0), (20, 0))
    assert len(window.session.review.corrections.history) == 1
    window.key(Qt.Key.Key_N)
    assert "no prediction" in window.session.notice.text


def test_broken_projects_are_one_sentence(window: Window, project: Project, tmp_path: Path) -> None:
    window.open(project.folder)
    window.widget.open_project(tmp_path / "nowhere")
    assert "not a project" in window.session.notice.text
    assert window.session.project.folder == project.folder  # the open one stays
    assert window.widget.message.isVisible()

    (project.folder / "predictions" / "p4" / "reference_label.nii.gz").write_bytes(b"broken")
    window.session.volume = "p4"
    window.wait()
    assert window.session.notice.tone == "error" and "\n" not in window.session.notice.text
    window.session.volume = "p3"
    window.wait()
    assert window.session.review.name == "p3"

    other = tmp_path / "other"
    other.mkdir()
    (other / "project.json").write_text(json.dumps({"format_version": 99}))
    window.widget.open_project(other)
    assert "format_version" in window.session.notice.text


def test_a_layer_taken_out_by_hand_is_offered_back(window: Window, project: Project) -> None:
    window.open(project.folder)
    layer = window.viewer.layers["corrections"]
    layer.mode = "paint"
    window.drag((0, 0), (30, 0))
    painted = layer.data.copy()
    assert painted.any()
    window.viewer.layers.remove(layer)
    assert "Nothing painted is lost" in window.session.notice.text
    click(window.widget.message.offer)
    back = window.viewer.layers["corrections"]
    np.testing.assert_array_equal(back.data, painted)
    assert list(window.viewer.layers)[-2:] == [back, window.viewer.layers["provenance"]]
    back.mode = "paint"
    window.drag((0, 40), (30, 40))
    assert len(window.session.review.corrections.history) == 2

    window.viewer.layers.remove("regions")
    window.session.set_threshold(0.5, (0, 1, 2))  # nothing to refresh, nothing to fail
    click(window.widget.message.offer)
    assert [layer.name for layer in window.viewer.layers][-3:-1] == ["regions", "corrections"]


def test_other_data_put_into_the_layer_is_taken_over(window: Window, project: Project) -> None:
    window.open(project.folder)
    review = window.session.review
    layer = window.viewer.layers["corrections"]
    given = np.zeros(review.shape, np.int32)
    given[4, 5, 6], given[7, 8, 9] = 1, 77
    layer.data = given
    assert layer.data is review.corrections.labels
    assert review.corrections.labels[4, 5, 6] == 1
    assert review.corrections.labels[7, 8, 9] == 0  # no class 77
    assert "class" in window.session.notice.text
    assert len(review.corrections.history) == 1
    layer.data = np.zeros((3, 3, 3), np.uint8)
    assert layer.data is review.corrections.labels and layer.data[4, 5, 6] == 1


def test_3d_view_keeps_working(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.viewer.dims.ndisplay = 3
    window.session.set_threshold(0.6, (0, 1, 2))
    window.key(Qt.Key.Key_N)
    window.key(Qt.Key.Key_W)
    assert len(window.session.review.corrections.history) == 1
    window.viewer.dims.ndisplay = 2
    assert window.viewer.layers["regions"].data[5, 20, 20] > 0


def test_a_polygon_reaches_the_disk(window: Window, project: Project) -> None:
    window.open(project.folder)
    layer = window.viewer.layers["corrections"]
    z = int(window.viewer.dims.current_step[0])
    layer.paint_polygon([(z, 10, 10), (z, 10, 20), (z, 20, 20)], 2)
    wait_until(lambda: len(window.session.review.corrections.history) == 1)
    seen = Project.open(project.folder).corrections("p3", writable=False)
    np.testing.assert_array_equal(seen.labels, window.labels)
    assert (seen.labels == 2).sum() > 30


def test_a_hasty_person_gets_the_last_volume_and_frees_the_others(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    for name in ("p4", "p5", "p3", "p0", "p4"):
        window.session.volume = name
    window.wait()
    assert window.session.review.name == "p4" and window.session.notice is None
    window.viewer.layers["corrections"].mode = "paint"
    window.drag((0, 0), (20, 0))
    assert len(window.session.review.corrections.history) == 1
    for name in ("p3", "p5", "p0"):
        Project.open(project.folder).corrections(name).close()  # raises if still open here
