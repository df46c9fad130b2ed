"""What is proposed at a site: networks' labels carried outward, and what follows the image."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.proposal import IMAGE_REACH_MM, Source, propose, reach_of, seen_mm
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.surroundings import Surroundings
from napari_metassl.method.region import Region

SHAPE = (7, 24, 24)
SPACING = (3.0, 1.0, 1.0)
BORDER = 12
"""The structure truly begins at this x; both networks draw it too far right."""


def made_up():
    """A pair that misses a band: A sees two voxels of it, and both are unsure up to the border."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[..., BORDER:] = 1
    a, b = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    a[..., BORDER + 2 :], b[..., BORDER + 4 :] = 1, 1
    sure = np.full(SHAPE, 0.99, np.float32)
    sure[..., BORDER - 2 : BORDER + 6] = 0.6
    prediction = PredictionPair.from_labels_and_confidence(
        np.stack([a, b]),
        np.stack([sure - 0.01, sure]),  # B is the more confident: what is shown is its label
        Geometry.from_spacing(SPACING, SHAPE),
        PredictionCard(pair_name="made up", classes=2),
    )
    image = 100.0 * truth + np.random.default_rng(0).normal(0, 5, SHAPE)
    return prediction, image, truth


def site_of(prediction):
    """All that is discrepant, as one site."""
    places = np.nonzero(prediction.discrepant())
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in places)
    return SimpleNamespace(voxels=np.flatnonzero(prediction.discrepant()), box=box)


def surroundings(reach_mm=IMAGE_REACH_MM + 6, corrected=None):
    prediction, image, truth = made_up()
    site = site_of(prediction)
    corrected = np.zeros(SHAPE, np.uint8) if corrected is None else corrected
    parts = Quadripartition(prediction), [image], corrected, reach_mm
    return Surroundings.of(site, *parts), truth, prediction


def applied(proposal, prediction):
    """Labels of the volume once the proposal is accepted."""
    labels = prediction.merged().copy()
    labels.reshape(-1)[proposal.voxels] = proposal.labels
    return labels


def test_a_networks_label_goes_to_the_site_alone():
    around, _, prediction = surroundings(0.0)
    for network, source in enumerate((Source.A, Source.B)):
        proposal = propose(around, source)
        np.testing.assert_array_equal(proposal.voxels, around.site)
        own = prediction.label(network).reshape(-1)[around.site]
        np.testing.assert_array_equal(proposal.labels, own)
        assert proposal.changed.all() == (source is Source.A)
    assert propose(around, Source.B).change_ml(1.0) == {}
    assert propose(around, Source.A).change_ml(0.5) == {1: len(around.site) / 2}


def test_grown_it_reaches_unsure_voxels_around_in_mm():
    around, truth, prediction = surroundings(2.0)
    grown = applied(propose(around, Source.A, 2.0), prediction)
    np.testing.assert_array_equal(grown, truth)  # two voxels of 1 mm more
    all_around = applied(propose(around, Source.A, 9.0), prediction)
    assert not all_around[..., : BORDER - 2].any()  # sure voxels stay


def test_shrunk_it_keeps_to_the_inside_of_the_site():
    around, _, prediction = surroundings(0.0)
    shown = prediction.merged()
    assert (applied(propose(around, Source.A, -1.0), prediction) == shown).all()  # 2 voxels thin
    assert propose(around, Source.A, -0.5).changed.all()  # less than a voxel: nothing to take off


def test_the_image_finds_the_border_both_networks_missed():
    around, truth, prediction = surroundings()
    proposal = propose(around, Source.IMAGE)
    assert (applied(proposal, prediction) == truth).mean() > 0.995
    assert (prediction.merged() != truth).sum() > 600
    assert np.isin(around.site, proposal.voxels).all()
    assert (np.diff(proposal.voxels) > 0).all()


def test_it_reaches_no_farther_than_asked():
    around, truth, prediction = surroundings()
    near = propose(around, Source.IMAGE, 1.0 - IMAGE_REACH_MM)
    x = np.unravel_index(near.voxels[near.changed], SHAPE)[2]
    assert x.min() == BORDER + 1 and reach_of(Source.IMAGE, -99) == 0.0
    beyond = applied(near, prediction)[..., BORDER]
    assert not beyond.any() and truth[..., BORDER].all()


def test_what_a_person_said_is_a_seed_and_stays():
    corrected = np.zeros(SHAPE, np.uint8)
    corrected[3, 4:20, BORDER + 1] = 255  # wrong, but said
    around, _, _ = surroundings(corrected=corrected)
    for source in Source:
        proposal = propose(around, source, 2.0)
        said = np.flatnonzero(corrected)
        assert not np.isin(said, proposal.voxels[proposal.changed]).any()
    stroke = np.zeros(SHAPE, np.uint8)
    stroke[:, :, BORDER] = 255
    left = propose(surroundings(corrected=stroke)[0], Source.IMAGE)
    assert (np.unravel_index(left.voxels[left.changed], SHAPE)[2] > BORDER).all()


def test_a_finished_site_gets_no_new_proposal_from_the_image():
    around, _, _ = surroundings()
    corrected = np.zeros(SHAPE, np.uint8)
    corrected.reshape(-1)[around.site] = 1
    proposal = propose(surroundings(corrected=corrected)[0], Source.IMAGE)
    assert not proposal.changed.any()


def test_more_voxels_than_can_be_asked_for_are_those_nearest(monkeypatch: pytest.MonkeyPatch):
    around, _, _ = surroundings()
    count = len(around.site) + 900
    monkeypatch.setattr("napari_metassl.data.proposal.MOST_FREE", count)
    proposal = propose(around, Source.IMAGE)
    assert np.isin(around.site, proposal.voxels).all()
    assert 0 < proposal.changed.sum() <= count


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(Source)), st.floats(-4.0, 6.0))
def test_only_unsure_untouched_voxels_within_reach_change(seed, source, grow):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, (2, 5, 9, 8)).astype(np.uint8)
    labels[1] = np.where(generator.random((5, 9, 8)) < 0.8, labels[0], labels[1])
    labels[:, 2, 4, 4] = 0, 1  # one site at least
    prediction = PredictionPair.from_labels_and_confidence(
        labels,
        generator.random(labels.shape).astype(np.float32),
        Geometry.from_spacing((2.0, 1.0, 1.5), (5, 9, 8)),
        PredictionCard(pair_name="random", classes=3, thresholds=((0.5,) * 3,) * 2),
    )
    corrected = np.where(generator.random((5, 9, 8)) < 0.1, 2, 0).astype(np.uint8)
    quadripartition = Quadripartition(prediction)
    site = site_of(prediction)
    image = generator.random((5, 9, 8))
    reach = reach_of(source, grow)
    seen = seen_mm(source, grow)
    around = Surroundings.of(site, quadripartition, [image], corrected, seen)
    proposal = propose(around, source, grow)
    outside = np.setdiff1d(proposal.voxels, site.voxels)
    assert not corrected.reshape(-1)[outside].any()
    at = np.unravel_index(outside, (5, 9, 8))
    assert (np.asarray(quadripartition.regions)[at] != Region.UC).all()
    step = np.array([2.0, 1.0, 1.5])
    ours, theirs = (np.argwhere(mask) * step for mask in masks((5, 9, 8), outside, site.voxels))
    for place in ours:
        assert np.linalg.norm(theirs - place, axis=1).min() <= reach + 1e-3


def masks(shape, *voxels):
    for some in voxels:
        mask = np.zeros(shape, bool)
        mask.reshape(-1)[some] = True
        yield mask
