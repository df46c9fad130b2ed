"""Proposed corrections as a person meets them: outlined, grown, taken with one key, taken back."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from window_driver import Window, click, wait_until

from napari_metassl.data.corrections import BACKGROUND_MARK, Provenance
from napari_metassl.data.project import Project
from napari_metassl.data.proposal import IMAGE_REACH_MM, Source
from napari_metassl.data.sites import Site, site_neighbourhood
from napari_metassl.widgets.session import Action
from napari_metassl.widgets.theme import PROPOSED_BACKGROUND_COLOR

SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def at_site(window: Window, project: Project) -> Window:
    """The window at its worst site, with the proposal made."""
    window.open(project.folder)
    window.session.go_on = False
    window.key(Qt.Key.Key_N)
    wait_for_proposal(window)
    return window


def wait_for_proposal(window: Window) -> None:
    wait_until(lambda: window.session.proposal is not None)


def site_at_hand(window: Window) -> Site:
    site = window.session.review.site(window.session.site)
    assert site is not None
    return site


def outlined(window: Window) -> set[tuple[int, int, int]]:
    """Voxels of the volume with a line at their left side, as the layer has them."""
    layer = window.viewer.layers["proposal"]
    assert layer.visible
    starts, ways = layer.data[:, 0], layer.data[:, 1]
    left = ways[:, 1] == 1  # goes along y, so it is a left or right side
    return {tuple(int(k) for k in np.rint(place)) for place in starts[left] + (0, 0.5, 0.5)}


def test_the_site_at_hand_has_its_correction_outlined(at_site: Window) -> None:
    window = at_site
    proposal = window.session.proposal
    assert proposal.source is Source.IMAGE and proposal.changed.any()
    shape = window.session.review.shape
    changed = np.zeros(shape, bool)
    changed.reshape(-1)[proposal.voxels[proposal.changed]] = True
    z, y, x = np.nonzero(changed & ~np.roll(changed, 1, axis=2))
    assert set(zip(z.tolist(), y.tolist(), x.tolist(), strict=True)) <= outlined(window)
    assert window.viewer.layers.selection.active.name == "corrections"
    text = window.widget.correction_panel.proposal.text.text()
    ml = proposal.change_ml(window.session.review.images[0].geometry.voxel_volume_ml)
    assert all(f"{v:.2f} mL" in text for v in sorted(ml.values())[-2:])


def test_a_and_b_can_be_looked_at_before_one_is_taken(at_site: Window) -> None:
    window = at_site
    review, site = window.session.review, site_at_hand(window)
    row = window.widget.correction_panel.proposal
    lines = {}
    for key, source, network in ((Qt.Key.Key_Q, Source.A, 0), (Qt.Key.Key_W, Source.B, 1)):
        window.key(key, SHIFT)
        wait_for_proposal(window)
        assert row.choices[source].isChecked() and not window.labels.any()
        own = review.prediction.label(network).reshape(-1)[site.voxels]
        np.testing.assert_array_equal(window.session.proposal.labels, own)
        differs = own != review.prediction.merged().reshape(-1)[site.voxels]
        assert window.session.proposal.changed.sum() == differs.sum()
        lines[source] = differs.any()
        assert window.viewer.layers["proposal"].visible == differs.any()
    assert sum(lines.values()) >= 1  # one of them is not what is shown
    click(row.choices[Source.IMAGE])
    wait_for_proposal(window)
    assert window.session.proposal.source is Source.IMAGE


def test_one_key_follows_the_image_one_step_takes_it_back(
    at_site: Window, project: Project
) -> None:
    window = at_site
    review, site = window.session.review, site_at_hand(window)
    shown = review.prediction.merged().reshape(-1)
    proposal = window.session.proposal
    window.key(Qt.Key.Key_Y)
    labels = window.labels.reshape(-1)
    marks = np.where(proposal.labels == 0, BACKGROUND_MARK, proposal.labels)
    np.testing.assert_array_equal(labels[proposal.voxels], marks)
    near = site_neighbourhood(site, review.shape, review.spacing, window.session.reach_mm)
    seen = np.union1d(near, proposal.voxels)
    np.testing.assert_array_equal(np.flatnonzero(labels), seen)  # and nothing else
    provenance = review.corrections.provenance.reshape(-1)
    changed = proposal.voxels[proposal.changed]
    assert (provenance[changed] == Provenance.CORRECTED).all() and len(changed)
    rest = np.setdiff1d(seen, changed)
    assert (provenance[rest] == Provenance.CONFIRMED).all()
    np.testing.assert_array_equal(
        labels[rest], np.where(shown[rest] == 0, BACKGROUND_MARK, shown[rest])
    )
    assert review.corrections.history[-1].action == "follow the image"
    wait_for_proposal(window)
    assert not window.session.proposal.changed.any()  # it is done
    assert not window.viewer.layers["proposal"].visible

    before = window.labels.copy()
    window.key(Qt.Key.Key_Z, CONTROL)
    assert not window.labels.any()
    wait_for_proposal(window)
    assert window.session.proposal.changed.any()  # and is proposed again
    window.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    replayed = Project.open(project.folder).corrections("p3", writable=False)
    np.testing.assert_array_equal(replayed.labels, before)
    assert len(replayed.history) == 3


def test_growing_and_shrinking_change_how_far_it_reaches(at_site: Window) -> None:
    window = at_site
    row = window.widget.correction_panel.proposal
    assert row.reach.text() == f"{IMAGE_REACH_MM:.1f} mm"
    window.key(Qt.Key.Key_Period)
    assert window.session.proposal is None  # what was outlined is out of date
    wait_for_proposal(window)
    assert window.session.proposal.grow_mm == 1.0 and row.reach.text() == "7.0 mm"
    for _ in range(3):
        window.key(Qt.Key.Key_Comma)
    click(row.shrink)
    assert row.reach.text() == "3.0 mm"
    window.key(Qt.Key.Key_Q, SHIFT)
    wait_for_proposal(window)
    assert row.reach.text() == "−3.0 mm"
    assert not window.session.proposal.changed.all()
    for _ in range(6):
        click(row.grow)
    wait_for_proposal(window)
    grown, site = window.session.proposal, site_at_hand(window)
    assert grown.grow_mm == 3.0
    review = window.session.review
    near = site_neighbourhood(site, review.shape, review.spacing, 3.0)
    beyond = np.setdiff1d(grown.voxels, site.voxels)
    assert len(beyond) and np.isin(beyond, near).all()
    window.key(Qt.Key.Key_Q)  # takes it as far as it is outlined
    marks = np.where(grown.labels == 0, BACKGROUND_MARK, grown.labels)
    np.testing.assert_array_equal(window.labels.reshape(-1)[grown.voxels], marks)
    window.key(Qt.Key.Key_N)
    assert window.session.grow_mm == 0.0  # the next site begins as usual


def test_a_stroke_of_the_brush_steers_the_proposal(at_site: Window) -> None:
    window = at_site
    review = window.session.review
    proposal = window.session.proposal
    stroke = proposal.voxels[proposal.changed][:6]
    now = review.prediction.merged().reshape(-1)[stroke]
    layer = window.viewer.layers["corrections"]
    marks = np.where(now == 0, BACKGROUND_MARK, now)
    with layer.block_history():
        layer.data_setitem(np.unravel_index(stroke, review.shape), marks)
    assert window.session.proposal is None
    wait_for_proposal(window)
    changed = window.session.proposal.voxels[window.session.proposal.changed]
    assert not np.isin(stroke, changed).any()
    said = window.labels.reshape(-1)[stroke].copy()
    click(window.widget.correction_panel.buttons[Action.TAKE_IMAGE])
    np.testing.assert_array_equal(window.labels.reshape(-1)[stroke], said)


def test_the_proposal_follows_the_threshold_and_goes_with_the_volume(at_site: Window) -> None:
    window = at_site
    first = window.session.proposal
    window.session.set_threshold(0.999, (0, 1, 2))
    wait_until(lambda: window.session.proposal is not None)
    assert len(window.session.proposal.voxels) != len(first.voxels)
    window.session.volume = "p4"
    window.wait()
    QTest.qWait(100)
    assert window.session.proposal is None
    assert not window.viewer.layers["proposal"].visible
    window.key(Qt.Key.Key_N)
    wait_for_proposal(window)
    assert window.viewer.layers["proposal"].visible


def test_the_outline_lies_in_the_slices_that_are_looked_at(at_site: Window) -> None:
    window = at_site
    window.viewer.layers.remove("proposal")  # by hand; it comes back
    window.key(Qt.Key.Key_N)
    wait_for_proposal(window)
    window.key(Qt.Key.Key_J)
    wait_for_proposal(window)
    layer = window.viewer.layers["proposal"]
    assert not layer.data[:, 1, 0].any()  # no line leaves its axial slice
    window.viewer.dims.order = (1, 0, 2)
    assert not layer.data[:, 1, 1].any() and layer.data[:, 1, 0].any()
    window.viewer.dims.order = (0, 1, 2)
    colors = np.rint(255 * np.unique(layer.edge_color, axis=0)[:, :3]).astype(int)
    classes = {f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colors}
    proposal, review = window.session.proposal, window.session.review
    expected = {
        PROPOSED_BACKGROUND_COLOR if k == 0 else review.class_colors[k].lower()
        for k in np.unique(proposal.labels[proposal.changed])
    }
    assert classes == expected
