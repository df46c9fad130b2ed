"""Walking through the sites with mouse and keys, correcting, and taking it back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
from qtpy.QtCore import Qt
from window_driver import Window, click, wait_until

from napari_metassl.data.corrections import BACKGROUND_MARK, Provenance
from napari_metassl.data.project import Project
from napari_metassl.data.sites import Site, site_neighbourhood
from napari_metassl.widgets.review import SiteStatus
from napari_metassl.widgets.session import Action

CONTROL = Qt.KeyboardModifier.ControlModifier


def site_at_hand(window: Window) -> Site:
    site = window.session.review.site(window.session.site)
    assert site is not None
    return site


def statuses(window: Window) -> list[SiteStatus]:
    return [entry.status for entry in window.widget.correction_panel.table.sites.entries]


def test_take_b_is_one_step_of_undo_and_both_are_on_disk(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.session.go_on = False
    review = window.session.review
    window.key(Qt.Key.Key_N)
    site = site_at_hand(window)
    click(window.widget.correction_panel.buttons[Action.TAKE_B])
    said = review.prediction.label(1).reshape(-1)[site.voxels]
    marks = np.where(said == 0, BACKGROUND_MARK, said)
    np.testing.assert_array_equal(window.labels.reshape(-1)[site.voxels], marks)
    near = site_neighbourhood(site, review.shape, review.spacing, window.session.reach_mm)
    provenance = review.corrections.provenance.reshape(-1)
    around = np.setdiff1d(near, site.voxels)
    assert len(around) and (provenance[around] == Provenance.CONFIRMED).all()
    assert (window.labels != 0).sum() == len(near)
    assert (
        statuses(window)[0].is_done
        and "1 of" in window.widget.correction_panel.progress_text.text()
    )

    window.key(Qt.Key.Key_Z, CONTROL)
    assert not window.labels.any() and statuses(window)[0] is SiteStatus.OPEN
    seen = Project.open(project.folder).corrections("p3", writable=False)
    assert len(seen.history) == 2 and not seen.labels.any()
    window.key(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    seen = Project.open(project.folder).corrections("p3", writable=False)
    np.testing.assert_array_equal(seen.labels, window.labels)
    assert seen.labels.any()


def test_walking_to_the_end(window: Window, project: Project) -> None:
    window.open(project.folder)
    review = window.session.review
    count = len(review.sites)
    window.key(Qt.Key.Key_Q)  # no site at hand: shows one, judges nothing
    assert window.session.site is not None and not window.labels.any()
    window.key(Qt.Key.Key_G)
    window.key(Qt.Key.Key_Q)
    for _ in range(count - 2):
        window.key(Qt.Key.Key_K)
    found = statuses(window)
    assert found.count(SiteStatus.SKIPPED) == 1
    assert sum(status.is_done for status in found) == count - 1
    assert "1 skipped" in window.session.notice.text
    window.key(Qt.Key.Key_N)  # skipped ones can be come back to
    wait_until(lambda: all(entry.is_complete for entry in window.session.queue.entries.values()))
    click(window.widget.message.offer)  # "Next volume"
    window.wait()
    assert window.session.review.name == "p4"


def test_confirm_leaves_what_a_person_said_before(window: Window, project: Project) -> None:
    window.open(project.folder)
    review = window.session.review
    window.key(Qt.Key.Key_N)
    site = site_at_hand(window)
    layer = window.viewer.layers["corrections"]
    own = site.voxels[:5]
    layer.data_setitem(np.unravel_index(own, review.shape), 2)
    window.session.reach_mm = 0.0
    window.key(Qt.Key.Key_K)
    labels = window.labels.reshape(-1)
    assert (labels[own] == 2).all()
    merged = review.prediction.merged().reshape(-1)[site.voxels[5:]]
    np.testing.assert_array_equal(labels[site.voxels[5:]], np.where(merged == 0, 255, merged))
    assert (labels != 0).sum() == len(site.voxels)


def test_undo_button_returns_to_the_site(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    first = site_at_hand(window)
    window.key(Qt.Key.Key_W)
    assert site_at_hand(window) is not first  # it went on by itself
    window.key(Qt.Key.Key_U)
    assert site_at_hand(window) is first and not window.labels.any()
    click(window.widget.correction_panel.buttons[Action.UNDO])
    assert "Nothing is left" in window.session.notice.text


def test_undo_of_a_stroke_leaves_the_view_where_it_is(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    first = site_at_hand(window)
    window.key(Qt.Key.Key_W)
    answered = window.labels.copy()
    second = site_at_hand(window)
    click(window.widget.correction_panel.brush.buttons[1])
    window.drag((-60, 0), (60, 0))
    assert (window.labels != answered).any()
    here = window.viewer.dims.current_step, window.viewer.camera.center
    window.key(Qt.Key.Key_U)
    np.testing.assert_array_equal(window.labels, answered)
    assert site_at_hand(window) is second
    assert (window.viewer.dims.current_step, window.viewer.camera.center) == here
    window.key(Qt.Key.Key_Z, CONTROL)  # the answer: back to its site, by either key
    assert not window.labels.any() and site_at_hand(window) is first


def test_brush_paints_background_and_takes_back(window: Window, project: Project) -> None:
    window.open(project.folder)
    brush = window.widget.correction_panel.brush
    click(brush.buttons[BACKGROUND_MARK])
    window.drag((-20, 0), (20, 0))
    assert set(np.unique(window.labels)) == {0, BACKGROUND_MARK}
    assert (window.session.review.corrections.as_training_labels() == 0).sum() > 5
    click(brush.buttons[0])
    window.drag((-40, 0), (40, 0))
    assert not window.labels.any()
    window.viewer.layers["corrections"].selected_label = 9
    assert "no class 9" in window.session.notice.text
    assert window.viewer.layers["corrections"].selected_label == 0


def test_help_lists_the_keys(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_H)
    assert window.widget.help.isVisible()
    window.key(Qt.Key.Key_H)
    assert not window.widget.help.isVisible()


def test_a_killed_session_is_announced(window: Window, project: Project) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path;"
        "from napari_metassl.data.project import Project;"
        f"c = Project.open(Path({str(project.folder)!r})).corrections('p3');"
        "c.labels[1, 2, 3] = 1; c.record('paint'); c.labels[1, 2, 4] = 2; c.record('paint');"
        "print('ready', flush=True); signal.pause()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline().strip() == b"ready"
    window.open(project.folder, "p4")
    window.session.volume = "p3"
    window.wait()
    assert "window" in window.session.notice.text or "open" in window.session.notice.text
    assert window.session.review is None  # two people at one journal: refused, said why
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    window.session.volume = "p4"
    window.wait()
    window.session.volume = "p3"
    window.wait()
    assert "2 edits recovered" in window.session.notice.text
    assert window.labels[1, 2, 3] == 1 and window.labels[1, 2, 4] == 2


def test_a_full_disk_is_said_and_nothing_is_lost(
    window: Window, project: Project, monkeypatch: object
) -> None:
    window.open(project.folder)
    journal = window.session.review.corrections._journal

    def full(_descriptor: int, _content: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("napari_metassl.data.edit_journal.os.write", full)
        window.viewer.layers["corrections"].mode = "paint"
        window.drag((0, 0), (20, 0))
    assert window.session.notice.tone == "error" and "No space left" in window.session.notice.text
    painted = window.labels.copy()
    assert painted.any() and not journal.edits
    window.drag((0, 60), (20, 60))
    seen = Project.open(project.folder).corrections("p3", writable=False)
    np.testing.assert_array_equal(seen.labels, window.labels)
    assert (seen.labels[painted != 0] == painted[painted != 0]).all()
