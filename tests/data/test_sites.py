"""Sites against scipy's labelling and distance transform."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.quadripartition import Quadripartition, Reference
from napari_metassl.data.sites import SiteIndex, site_neighbourhood
from napari_metassl.method.region import Region

SPACING = (3.0, 1.0, 1.0)


def make_pair(discrepant: np.ndarray, seed: int = 0, one_kind: bool = False) -> PredictionPair:
    """Two networks that differ exactly in `discrepant`; everywhere in the same way if asked."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, [-(-n // 3) for n in discrepant.shape])  # so that some cohere
    z, y, x = (slice(n) for n in discrepant.shape)
    first = np.kron(blocks, np.ones((3, 3, 3), int))[z, y, x]
    away = 1 if one_kind else 1 + (first + (np.indices(discrepant.shape)[2] > 5)) % 2
    if one_kind:
        first[:] = 0
    second = np.where(discrepant, (first + away) % 4, first)
    levels = rng.integers(0, 256, (2, *discrepant.shape)).astype(np.uint8)
    return PredictionPair.from_labels_and_confidence(
        np.stack([first, second]),
        levels,
        Geometry.from_spacing(SPACING, discrepant.shape),
        PredictionCard(pair_name="p", classes=4),
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0]))
def test_sites_are_the_components_and_centers_lie_in_them(seed: int, share: float) -> None:
    shape = (7, 9, 11)
    discrepant = np.random.default_rng(seed).random(shape) < share
    pair = make_pair(discrepant, seed)
    sites = SiteIndex.from_prediction(pair, minimum_mm3=0)
    found = [sites.site(k) for k in range(len(sites))]
    expected = set()
    for a, b in np.ndindex(4, 4):
        kind = discrepant & (pair.label(0) == a) & (pair.label(1) == b)
        components, count = ndimage.label(kind, np.ones((3, 3, 3)))
        for k in range(1, count + 1):
            expected.add((frozenset(np.flatnonzero(components == k).tolist()), (a, b)))
    assert {(frozenset(site.voxels.tolist()), site.classes) for site in found} == expected
    assert [len(s.voxels) for s in found] == sorted((len(s.voxels) for s in found), reverse=True)
    for site in found:
        assert (np.diff(site.voxels) > 0).all()
        z, y, x = np.unravel_index(site.voxels, shape)
        assert np.ravel_multi_index(site.center, shape) in site.voxels
        assert (z == site.center[0]).sum() == np.bincount(z).max()
        assert site.box == tuple(slice(a.min(), a.max() + 1) for a in (z, y, x))
        assert site.ml == pytest.approx(len(z) * 3 / 1000)
        confidence = [pair.confidence(n)[z, y, x] for n in (0, 1)]
        assert site.mean_confidence == pytest.approx(np.mean(confidence), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    threshold=st.floats(0, 1),
    reference=st.sampled_from(list(Reference)),
)
def test_sites_are_ranked_by_what_is_suspicious_now(seed, threshold, reference) -> None:
    shape = (6, 12, 12)
    pair = make_pair(np.random.default_rng(seed).random(shape) < 0.04, seed)
    quadripartition = Quadripartition(pair)
    sites = SiteIndex.from_prediction(pair, minimum_mm3=0)
    quadripartition.set_thresholds([threshold] * 4, reference)
    regions = np.asarray(quadripartition.regions).reshape(-1)
    ranked = sites.ranked(quadripartition)
    assert sorted(entry.site.id for entry in ranked) == list(range(len(sites)))
    for entry in ranked:
        assert entry.ds_voxels == (regions[entry.site.voxels] == Region.DS).sum()
        assert entry.ds_ml == pytest.approx(entry.ds_voxels * 3 / 1000)
    counts = [entry.ds_voxels for entry in ranked]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == quadripartition.shares()[Region.DS]
    best = sites.ranked(quadripartition, limit=2)
    assert [entry.site.id for entry in best] == [entry.site.id for entry in ranked[:2]]


def test_specks_are_folded_away_and_counted() -> None:
    discrepant = np.zeros((8, 20, 20), bool)
    discrepant[1:3, 2:6, 2:6] = True  # 32 voxels, 96 mm3
    discrepant[5, 10, 10:14] = True  # 4 voxels, 12 mm3
    discrepant[7, 19, 19] = True  # 1 voxel, 3 mm3
    pair = make_pair(discrepant, one_kind=True)
    sites = SiteIndex.from_prediction(pair, minimum_mm3=12)
    assert len(sites) == 2
    assert (sites.folded, sites.folded_ml) == (1, pytest.approx(0.003))
    assert sites.site_at((5, 10, 12)).id == 1
    assert sites.site_at((7, 19, 19)) is None
    with pytest.raises(IndexError, match="there are 2"):
        sites.site(2)


def test_a_volume_without_discrepant_voxels_has_no_sites() -> None:
    pair = make_pair(np.zeros((3, 4, 5), bool))
    sites = SiteIndex.from_prediction(pair)
    assert len(sites) == 0
    assert sites.ranked(Quadripartition(pair)) == []


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    reach=st.one_of(st.floats(0, 12), st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0])),
    spacing=st.sampled_from([(3.0, 1.0, 1.0), (0.7, 0.7, 0.7), (1.0, 2.5, 0.4)]),
)
def test_neighbourhood_is_all_within_reach(seed, reach, spacing) -> None:
    shape = (6, 14, 15)
    rng = np.random.default_rng(seed)
    sites = SiteIndex.from_prediction(make_pair(rng.random(shape) < 0.02, seed), 0)
    if not len(sites):
        return
    site = sites.site(len(sites) - 1)
    seeds = np.ones(shape, bool)
    seeds.reshape(-1)[site.voxels] = False
    distance = ndimage.distance_transform_edt(seeds, sampling=spacing)
    near = site_neighbourhood(site, shape, spacing, reach)
    assert (np.diff(near) > 0).all()
    inside = np.zeros(shape, bool)
    inside.reshape(-1)[near] = True
    surely = np.abs(distance - reach) > 1e-3  # where rounding cannot decide
    np.testing.assert_array_equal(inside[surely], (distance <= reach)[surely])
    assert np.isin(site.voxels, near).all()


def test_what_lies_exactly_at_the_reach_belongs_to_the_neighbourhood() -> None:
    discrepant = np.zeros((5, 9, 9), bool)
    discrepant[2, 4, 4] = True
    site = SiteIndex.from_prediction(make_pair(discrepant), 0).site(0)
    assert len(site_neighbourhood(site, (5, 9, 9), (3.0, 1.0, 1.0), 1.0)) == 5
    assert len(site_neighbourhood(site, (5, 9, 9), (0.1, 0.1, 0.1), 0.3)) == 121
