"""Where labels come from, how far finishing a site reaches, and what a killed session left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from skimage.color import rgb2lab
from window_driver import Window, click, wait_until

from napari_metassl.data.corrections import PROVENANCE_COLORS, Provenance
from napari_metassl.data.project import Project
from napari_metassl.data.quadripartition import REGION_COLORS
from napari_metassl.data.sites import site_neighbourhood

PROVENANCE, REACH = "provenance", "seen when finished"


def row(window: Window) -> Any:
    return window.widget.correction_panel.provenance


def test_provenance_is_hidden_until_asked_for_and_follows_every_edit(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    layer = window.viewer.layers[PROVENANCE]
    assert not layer.visible and "0.00" in row(window).volumes[Provenance.CORRECTED].text()
    click(row(window).show_it)
    assert layer.visible and window.viewer.layers.selection.active.name == "corrections"
    window.session.go_on = False
    window.key(Qt.Key.Key_N)
    window.key(Qt.Key.Key_W)
    review = window.session.review
    assert layer.data is review.corrections.provenance
    slice_ = window.viewer.dims.current_step[0]
    drawn = np.asarray(layer._slice.image.raw)
    np.testing.assert_array_equal(drawn, review.corrections.provenance[slice_])
    assert {Provenance.CONFIRMED, Provenance.CORRECTED} <= set(np.unique(drawn))
    voxel_ml = review.images[0].geometry.voxel_volume_ml
    for provenance, text in row(window).volumes.items():
        ml = (review.corrections.provenance == provenance).sum() * voxel_ml
        assert 0 < ml < 10 and text.text() == f"{provenance.name.lower()} {ml:.2f}"
    window.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not np.asarray(layer._slice.image.raw).any()
    assert row(window).volumes[Provenance.CONFIRMED].text() == "confirmed 0.00"


def test_the_status_bar_names_the_provenance_under_the_pointer(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    window.session.show_provenance = True
    window.session.go_on = False
    window.key(Qt.Key.Key_N)
    window.key(Qt.Key.Key_W)
    layer = window.viewer.layers[PROVENANCE]
    for provenance in (Provenance.CONFIRMED, Provenance.CORRECTED):
        at = np.argwhere(layer.data == provenance)[0]
        status = layer.get_status(layer.data_to_world(at), world=True)
        assert f"provenance: {provenance.name.lower()}" in status["coordinates"]


def test_the_eye_and_the_tick_are_one_switch(window: Window, project: Project) -> None:
    window.open(project.folder)
    layer = window.viewer.layers[PROVENANCE]
    layer.visible = True
    assert row(window).show_it.isChecked() and window.session.show_provenance
    window.session.volume = "p4"
    window.wait()
    assert window.viewer.layers[PROVENANCE].visible  # found again at the next volume
    click(row(window).show_it)
    assert not window.viewer.layers[PROVENANCE].visible


def as_seen_without(cone: str, colors: list[str]) -> Any:
    """Colours in CIELAB as people without one kind of cone see them (Machado et al. 2009)."""
    matrices = {
        "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998]],
        "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                  [-0.011820, 0.042940, 0.968881]],
        "blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                 [0.004733, 0.691367, 0.303900]],
        "none": np.eye(3),
    }  # fmt: skip
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(matrices[cone]).T, 0, 1)
    coded = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    return rgb2lab(coded[None])[0]


def test_colour_blind_people_can_tell_confirmed_from_corrected_and_from_the_regions() -> None:
    provenances = [PROVENANCE_COLORS[p] for p in (Provenance.CONFIRMED, Provenance.CORRECTED)]
    for cone in ("none", "red", "green", "blue"):
        a, b = as_seen_without(cone, provenances)
        assert np.linalg.norm(a - b) > 30, cone
    every = [*provenances, *REGION_COLORS.values()]
    lab = as_seen_without("none", every)
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 15


# -- how far finishing reaches


def edges(layer: Any, shape: tuple[int, ...]) -> set[tuple[float, ...]]:
    """Middles of the dashes, in voxels (z, y, x), but for the rim of the volume."""
    data = np.asarray(layer.data)
    return inner(np.round(data[:, 0] + data[:, 1] / 2, 3).tolist(), shape)


def inner(points: Any, shape: tuple[int, ...]) -> set[tuple[float, ...]]:
    last = np.subtract(shape, 1)
    return {
        tuple(p) for p in points if all(0.5 <= v <= n - 0.5 for v, n in zip(p, last, strict=True))
    }


def rim(near: Any, shape: tuple[int, ...], axes: tuple[int, int] = (1, 2)) -> set[Any]:
    """Where a voxel within reach has a neighbour that is not, in the slices of two axes."""
    inside = np.zeros(shape, bool)
    inside.reshape(-1)[near] = True
    found = set()
    for at in np.argwhere(inside):
        for axis in axes:
            for by in (-1, 1):
                beside = at.copy()
                beside[axis] += by
                outside = not 0 <= beside[axis] < shape[axis] or not inside[tuple(beside)]
                if outside:
                    found.add(tuple(float(v) for v in (at + beside) / 2))
    return inner(found, shape)


def test_the_reach_is_outlined_before_it_is_confirmed(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.session.go_on = False
    assert REACH not in window.viewer.layers or not window.viewer.layers[REACH].visible
    window.key(Qt.Key.Key_N)
    review = window.session.review
    site = review.site(window.session.site)
    layer = window.viewer.layers[REACH]
    near = site_neighbourhood(site, review.shape, review.spacing, 3.0)
    assert layer.visible and edges(layer, review.shape) == rim(near, review.shape)
    assert tuple(layer.scale) == review.spacing
    assert window.viewer.layers.selection.active.name == "corrections"
    window.key(Qt.Key.Key_K)
    said = np.flatnonzero(review.corrections.provenance)
    np.testing.assert_array_equal(said, near)  # what was outlined is what was confirmed


def test_the_outline_follows_the_setting_the_view_and_the_zoom(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    review = window.session.review
    site, layer = review.site(window.session.site), window.viewer.layers[REACH]
    spin = window.widget.correction_panel.reach
    spin.setFocus()
    spin.lineEdit().selectAll()
    QTest.keyClicks(spin, "8")
    near = site_neighbourhood(site, review.shape, review.spacing, 8.0)
    wait_until(lambda: edges(layer, review.shape) == rim(near, review.shape))
    width = layer.edge_width
    window.viewer.scene.camera.zoom *= 2
    assert layer.edge_width == width / 2
    window.viewer.dims.order = (1, 0, 2)
    assert edges(layer, review.shape) == rim(near, review.shape, axes=(0, 2))
    window.viewer.dims.order = (0, 1, 2)
    window.viewer.dims.ndisplay = 3
    assert not layer.visible
    window.viewer.dims.ndisplay = 2
    assert layer.visible
    spin.lineEdit().selectAll()
    QTest.keyClicks(spin, "0")
    wait_until(lambda: not layer.visible)  # nothing around it will be confirmed


def test_who_hides_the_outline_does_not_see_it_at_the_next_site(
    window: Window, project: Project
) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    window.viewer.layers[REACH].visible = False
    window.key(Qt.Key.Key_N)
    assert not window.viewer.layers[REACH].visible
    assert window.viewer.layers["site at hand"].visible
    window.session.show_reach = True
    assert window.viewer.layers[REACH].visible
    window.viewer.layers.remove(REACH)
    window.key(Qt.Key.Key_N)
    assert window.viewer.layers[REACH].visible


# -- after a kill

PAINT = (
    "import sys, signal; from pathlib import Path;"
    "from napari_metassl.data.project import Project;"
    "c = Project.open(Path(sys.argv[1])).corrections('p4');"
    "c.labels[3, 5, 6:9] = 1; c.record('paint', who='ann');"
    "c.labels[12, 30:33, 40] = 2; c.record('fill', who='ann');"
    "print('ready', flush=True); signal.pause()"
)


def kill_a_painter(folder: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", PAINT, str(folder)], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline().strip() == b"ready"
    os.kill(other.pid, signal.SIGKILL)
    other.wait()


def test_a_killed_session_is_gone_back_to_and_its_edits_are_shown(
    window: Window, project: Project
) -> None:
    kill_a_painter(project.folder)
    window.open(project.folder)
    assert window.session.volume == "p4"  # not the first one: where the person was
    assert "2 edits recovered" in window.session.notice.text
    window.viewer.layers["corrections"].visible = False
    assert window.widget.message.offer.text() == "Show them"
    click(window.widget.message.offer)
    assert window.viewer.layers["corrections"].visible
    assert window.viewer.dims.current_step[0] == 12
    center = np.asarray(window.viewer.scene.camera.center)[1:]
    np.testing.assert_allclose(center, (31, 40), atol=1)
    said = window.session.notice.text
    assert "2 of 2" in said and "fill" in said and "ann" in said and "3 voxels" in said
    click(window.widget.message.offer)  # the one before
    assert window.viewer.dims.current_step[0] == 3 and "1 of 2" in window.session.notice.text
    assert not window.session.notice.offer
    window.session.set_project(None)
    window.open(project.folder)
    assert window.session.volume == "p3" and window.session.notice is None  # it ended well


def test_the_annotator_stands_in_the_journal(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.session.annotator = "Zoë "
    corrections = window.session.review.corrections
    window.viewer.layers["corrections"].data_setitem((np.array([1, 1]),) * 3, 2)
    wait_until(lambda: len(corrections.history) == 1)
    window.session.annotator = ""
    window.viewer.layers["corrections"].data_setitem((np.array([2, 2]),) * 3, 2)
    wait_until(lambda: len(corrections.history) == 2)
    history = corrections.history
    assert history[0].who == "Zoë" and history[1].who not in ("", "Zoë")
