"""The tools beside napari's brush, used with mouse and keys."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_project import SPACING
from qtpy.QtCore import Qt
from window_driver import Window, click

from napari_metassl.data.corrections import BACKGROUND_MARK
from napari_metassl.data.project import Project
from napari_metassl.widgets.ball_brush import radius_of, size_of
from napari_metassl.widgets.session import KEYS
from napari_metassl.widgets.tool import TOOL_KEYS, Tool

SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def painting(window: Window, project: Project) -> Window:
    """The window with a volume open, looking at slice 9, ready to paint the ventricle."""
    window.open(project.folder)
    window.viewer.dims.set_current_step(0, 9)
    click(window.widget.correction_panel.brush.buttons[2])
    return window


def tools(window: Window) -> dict[Tool, object]:
    return window.widget.correction_panel.tools.buttons


def replayed(window: Window) -> np.ndarray:
    """What is on disk, as another program would see it."""
    project = Project.open(window.session.project.folder)
    return project.corrections("p3", writable=False).labels


def painted_slices(window: Window) -> list[int]:
    return np.flatnonzero(window.labels.any(axis=(1, 2))).tolist()


def test_the_ball_is_round_in_mm_and_one_step_of_undo(painting: Window) -> None:
    window = painting
    window.key(Qt.Key.Key_B, SHIFT)
    assert tools(window)[Tool.BALL].isChecked()
    window.drag((0, 0), (0, 0))
    z, y, x = np.nonzero(window.labels == 2)
    away = (np.stack([z, y, x], 1) - np.rint([z.mean(), y.mean(), x.mean()])) * SPACING
    distance = np.linalg.norm(away, axis=1)
    radius = radius_of(size_of(5.0, 1.0), 1.0)
    assert abs(radius - 5.0) <= 0.5 and distance.max() <= radius
    assert len(z) * 2.0 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.12)  # 2 mm3 a voxel
    assert painted_slices(window) == [7, 8, 9, 10, 11]
    np.testing.assert_array_equal(replayed(window), window.labels)
    window.key(Qt.Key.Key_Z, CONTROL)
    assert not window.labels.any() and not replayed(window).any()


def test_the_balls_radius_is_set_here_or_with_naparis_keys(painting: Window) -> None:
    window = painting
    layer = window.viewer.layers["corrections"]
    disc = layer.brush_size
    click(tools(window)[Tool.BALL])
    window.widget.correction_panel.tools.radius.setValue(7.5)
    assert layer.brush_size == 15
    window.key(Qt.Key.Key_BracketRight)
    window.key(Qt.Key.Key_BracketRight)
    assert window.widget.correction_panel.tools.radius.value() == 9.5  # a voxel's side each
    layer.mode = "fill"
    assert layer.n_edit_dimensions == 2  # a bucket in 3D would spill through the volume
    layer.mode = "erase"
    assert layer.n_edit_dimensions == 3
    click(tools(window)[Tool.BALL])
    assert layer.n_edit_dimensions == 2 and layer.brush_size == disc
    window.drag((0, 0), (0, 0))
    assert painted_slices(window) == [9]


def test_between_two_painted_slices_the_others_are_filled(painting: Window) -> None:
    window = painting
    window.drag((-20, 0), (20, 0))
    window.viewer.dims.set_current_step(0, 13)
    window.drag((-20, 0), (20, 0))
    assert painted_slices(window) == [9, 13]
    window.labels[11, 0, 0] = 0
    other = np.argwhere(window.labels[9] == 2)[3]
    layer = window.viewer.layers["corrections"]
    with layer.block_history():
        layer.data_setitem((np.array([11]), other[:1], other[1:]), 1)  # another class, in the way
    before = window.labels.copy()
    window.viewer.dims.set_current_step(0, 10)
    window.key(Qt.Key.Key_I, SHIFT)
    assert painted_slices(window) == [9, 10, 11, 12, 13]
    np.testing.assert_array_equal(window.labels[before != 0], before[before != 0])
    np.testing.assert_array_equal(window.labels[10], window.labels[9])
    np.testing.assert_array_equal(replayed(window), window.labels)
    window.key(Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(window.labels, before)
    np.testing.assert_array_equal(replayed(window), before)


def test_copying_walks_through_the_slices(painting: Window) -> None:
    window = painting
    window.drag((-20, 0), (20, 0))
    painted = window.labels[9].copy()
    window.key(Qt.Key.Key_Right)
    window.key(Qt.Key.Key_Left, SHIFT)
    assert window.viewer.dims.current_step[0] == 10  # the arrow with shift stays where it is
    np.testing.assert_array_equal(window.labels[10], painted)
    window.viewer.dims.set_current_step(0, 8)
    click(tools(window)[Tool.COPY_AFTER])
    np.testing.assert_array_equal(window.labels[8], painted)
    assert painted_slices(window) == [8, 9, 10]
    assert window.session.review.corrections.history[-1].action == "copy slice after"
    window.key(Qt.Key.Key_Z, CONTROL)
    assert painted_slices(window) == [9, 10]
    window.viewer.dims.set_current_step(0, 3)
    window.key(Qt.Key.Key_Right, SHIFT)
    assert "holds no painted ventricle" in window.session.notice.text


def test_smoothing_takes_a_speck_near_the_site_and_leaves_the_rest(painting: Window) -> None:
    window = painting
    window.session.go_on = False
    window.session.brush = 2
    window.key(Qt.Key.Key_N)
    review = window.session.review
    site = review.site(window.session.site)
    layer = window.viewer.layers["corrections"]
    far = (np.array([0]), np.array([0]), np.array([0]))
    shown = review.prediction.merged()
    empty = np.argwhere(shown == 0)
    middle = np.unravel_index(site.voxels[len(site.voxels) // 2], review.shape)
    away = np.linalg.norm((empty - middle) * SPACING, axis=1)
    nearest = next(
        (z, y, x)
        for z, y, x in empty[np.argsort(away)]
        if not shown[z, y - 2 : y + 3, x - 2 : x + 3].any()
    )
    speck = tuple(np.array([k]) for k in nearest)
    with layer.block_history():
        layer.data_setitem(speck, 2)
        layer.data_setitem(far, 2)
    window.key(Qt.Key.Key_S, SHIFT)
    assert window.labels[speck] == BACKGROUND_MARK and window.labels[far] == 2
    np.testing.assert_array_equal(replayed(window), window.labels)
    window.key(Qt.Key.Key_Z, CONTROL)
    assert window.labels[speck] == 2


def test_what_cannot_be_done_is_said(painting: Window) -> None:
    window = painting
    window.key(Qt.Key.Key_S, SHIFT)
    assert "Go to a site first" in window.session.notice.text
    click(tools(window)[Tool.INTERPOLATE])
    assert "nothing to fill" in window.session.notice.text
    window.session.brush = 0
    window.key(Qt.Key.Key_I, SHIFT)
    assert "Choose a class" in window.session.notice.text
    window.session.brush = 1
    window.viewer.dims.ndisplay = 3
    window.key(Qt.Key.Key_I, SHIFT)
    assert "3D view" in window.session.notice.text
    assert not window.labels.any()


def test_no_key_is_taken_twice_or_is_one_of_naparis(window: Window) -> None:
    from app_model.types import KeyBinding
    from napari.layers import Labels
    from napari.viewer import Viewer

    keys = (*KEYS.values(), *TOOL_KEYS.values())
    ours = [KeyBinding.from_str(key.replace("-", "+")) for key in keys]
    theirs = {*Labels.class_keymap, *Viewer.class_keymap}
    assert len(theirs) > 20 and len({hash(key) for key in ours}) == len(ours)
    assert not theirs & set(ours)
    assert set(ours) <= set(window.viewer.keymap)
