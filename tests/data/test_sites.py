"""Sites: what is one place, what is left out, ranks, and the neighbourhood against scipy."""

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.quadripartition import Quadripartition, Reference
from napari_metassl.data.site_groups import EXTENT_MM, NEAR_MM
from napari_metassl.data.sites import UNSURE_WITHIN_MM, Kind, SiteIndex, site_neighbourhood
from napari_metassl.method.region import Region

SPACING = (3.0, 1.0, 1.0)


def pair_of(labels: np.ndarray, confidence: Any = None, spacing: Any = SPACING) -> PredictionPair:
    """Two networks that say this, (2, Z, Y, X)."""
    levels = np.full(labels.shape, 0.7) if confidence is None else confidence
    geometry = Geometry.from_spacing(spacing, labels.shape[1:])
    card = PredictionCard(pair_name="p", classes=4)
    return PredictionPair.from_labels_and_confidence(labels, levels, geometry, card)


def make_pair(
    discrepant: np.ndarray, seed: int = 0, one_kind: bool = False, spacing: Any = SPACING
) -> PredictionPair:
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
    return pair_of(np.stack([first, second]), levels, spacing)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.01, 0.05, 0.3, 1.0]))
def test_every_discrepant_voxel_belongs_to_one_site_or_speck(seed: int, share: float) -> None:
    shape = (7, 9, 11)
    discrepant = np.random.default_rng(seed).random(shape) < share
    pair = make_pair(discrepant, seed)
    sites = SiteIndex.from_prediction(pair)
    found = [sites.site(k) for k in range(sites.total)]
    voxels = np.concatenate([site.voxels for site in found]) if found else np.zeros(0)
    np.testing.assert_array_equal(np.sort(voxels), np.flatnonzero(discrepant))
    assert [len(s.voxels) for s in found] == sorted((len(s.voxels) for s in found), reverse=True)
    for site in found:
        assert (np.diff(site.voxels) > 0).all()
        z, y, x = places = np.stack(np.unravel_index(site.voxels, shape))
        np.testing.assert_array_equal(site.places, places)
        assert site.box == tuple(slice(a.min(), a.max() + 1) for a in places)
        assert site.ml == pytest.approx(len(z) * 3 / 1000)
        labels = list(zip(pair.label(0)[z, y, x], pair.label(1)[z, y, x], strict=True))
        assert {(k.a, k.b): k.voxels for k in site.kinds} == Counter(labels)
        assert site.classes == Counter(labels).most_common(1)[0][0] or len(site.kinds) > 1
        confidence = [pair.confidence(n)[z, y, x] for n in (0, 1)]
        assert site.mean_confidence == pytest.approx(np.mean(confidence), abs=1e-6)


def test_what_lies_close_together_is_one_site_whatever_the_spacing() -> None:
    """Two lumps 2 mm apart are one place, two lumps 12 mm apart are two, along every axis."""
    for axis, spacing in itertools.product(range(3), [(3.0, 1.0, 1.0), (1.0, 1.0, 1.0)]):
        for gap_mm, expected in ((2.0, 1), (12.0, 2)):
            shape = [60, 60, 60]
            discrepant = np.zeros(shape, bool)
            first = [slice(20, 20 + round(6 / step)) for step in spacing]
            second = list(first)
            start = first[axis].stop + max(1, round(gap_mm / spacing[axis]))
            second[axis] = slice(start, start + round(6 / spacing[axis]))
            discrepant[tuple(first)] = discrepant[tuple(second)] = True
            pair = make_pair(discrepant, one_kind=True, spacing=spacing)
            assert len(SiteIndex.from_prediction(pair)) == expected, (axis, spacing, gap_mm)


def test_a_shell_is_cut_into_places_one_can_see_and_specks_stay_out() -> None:
    grid = np.indices((80, 80, 80)) - 40.0
    radius = np.sqrt((grid**2).sum(0))
    discrepant = (radius > 30) & (radius < 32)
    discrepant[2, 2, 2:4] = True
    pair = make_pair(discrepant, one_kind=True, spacing=(1.0, 1.0, 1.0))
    sites = SiteIndex.from_prediction(pair)
    assert len(sites) == 8 and sites.folded == 1
    for number in range(len(sites)):
        lengths = [part.stop - part.start for part in sites.site(number).box]
        assert max(lengths) <= EXTENT_MM + 2 * NEAR_MM
    assert sites.folded_ml == pytest.approx(2 / 1000)
    assert sites.site(len(sites)).voxels.tolist() == np.flatnonzero(discrepant)[:2].tolist()
    few = SiteIndex.from_prediction(pair, at_most=3)
    assert len(few) == 3 and few.total == sites.total
    with pytest.raises(IndexError, match=f"there are {sites.total}"):
        sites.site(sites.total)


def test_thick_slices_and_scattered_disagreement_are_cut_too() -> None:
    """Voxels longer than a place may be, and specks that touch one another for ever."""
    thick = make_pair(np.ones((4, 10, 10), bool), one_kind=True, spacing=(50.0, 5.0, 5.0))
    assert len(SiteIndex.from_prediction(thick)) == 4 * 4
    scattered = np.random.default_rng(0).random((100, 100, 100)) < 0.06
    sites = SiteIndex.from_prediction(make_pair(scattered, one_kind=True, spacing=(1.0, 1.0, 1.0)))
    assert sites.total > 8
    for number in range(len(sites)):
        lengths = [part.stop - part.start for part in sites.site(number).box]
        assert max(lengths) <= EXTENT_MM + 2 * NEAR_MM


def test_a_few_voxels_of_another_kind_belong_to_the_site_around_them() -> None:
    labels = np.zeros((2, 20, 40, 40), np.uint8)
    labels[0, 5:8, 10:20, 10:20] = 1  # A: 1, B: 0
    labels[1, 8, 12:14, 12:15] = 1  # the other way round, 6 voxels right below
    labels[1, 5:8, 30:36, 30:36] = 2  # A: 0, B: 2, a site of its own
    sites = SiteIndex.from_prediction(pair_of(labels))
    assert [site.kinds for site in map(sites.site, range(len(sites)))] == [
        (Kind(1, 0, 300), Kind(0, 1, 6)),
        (Kind(0, 2, 108),),
    ]


def test_places_shrink_with_a_small_specimen() -> None:
    """Two lumps a tenth as large and as far apart, in a volume a tenth as large, are two sites."""
    discrepant = np.zeros((50, 100, 100), bool)
    discrepant[20:28, 20:30, 20:30] = discrepant[20:28, 60:70, 20:30] = True
    counts = [
        len(SiteIndex.from_prediction(make_pair(discrepant, one_kind=True, spacing=(s, s, s))))
        for s in (1.0, 0.1, 0.01)
    ]
    assert counts == [2, 2, 2]


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
    sites = SiteIndex.from_prediction(pair)
    quadripartition.set_thresholds([threshold] * 4, reference)
    regions = np.asarray(quadripartition.regions)
    ranked = sites.ranked(quadripartition, specks=True)
    assert sorted(entry.site.id for entry in ranked) == list(range(sites.total))
    for entry in ranked:
        suspicious = regions.reshape(-1)[entry.site.voxels] == Region.DS
        assert entry.ds_voxels == suspicious.sum()
        assert entry.ds_ml == pytest.approx(entry.ds_voxels * 3 / 1000)
        for axis in range(3):
            at, box = entry.site.telling_slice(axis, suspicious)
            telling = entry.site.places[axis][suspicious | (not suspicious.any())]
            assert (telling == at).sum() == np.bincount(telling).max()
            assert box[axis] == slice(at, at + 1)
    counts = [entry.ds_voxels for entry in ranked]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == quadripartition.shares()[Region.DS]
    listed = [entry.site.id for entry in sites.ranked(quadripartition)]
    assert listed == [entry.site.id for entry in ranked if entry.site.id < len(sites)]


def test_expected_error_is_what_both_networks_leave_over_around_the_site() -> None:
    """With two classes the mean of both networks' probabilities says it exactly."""
    rng = np.random.default_rng(3)
    foreground = rng.random((2, 12, 20, 20)) * 0.45
    foreground[:, 4:8, 6:14, 6:14] += 0.5
    foreground[1, 4:8, 6:14, 10:14] -= 0.5
    labels = (foreground > 0.5).astype(np.uint8)
    confidence = np.maximum(foreground, 1 - foreground)
    pair = pair_of(labels, confidence, spacing=(1.0, 6.0, 6.0))
    site = SiteIndex.from_prediction(pair, minimum_mm3=0).site(0)
    near = site_neighbourhood(site, pair.shape, (1.0, 6.0, 6.0), UNSURE_WITHIN_MM)
    mean = foreground.mean(0).reshape(-1)[near]
    wrong = np.where(pair.merged().reshape(-1)[near] == 1, 1 - mean, mean).sum()
    assert site.expected_error_ml == pytest.approx(wrong * 36 / 1000, rel=0.01)


def test_a_site_is_found_by_a_voxel_near_it_and_along_a_line() -> None:
    discrepant = np.zeros((20, 50, 50), bool)
    discrepant[5:8, 10:16, 10:16] = True  # 108 voxels, 324 mm3
    discrepant[15, 40, 40] = True
    sites = SiteIndex.from_prediction(make_pair(discrepant, one_kind=True))
    assert (len(sites), sites.total) == (1, 2)
    assert sites.site_at((6, 12, 12)).id == 0
    assert sites.site_at((15, 40, 40)).id == 1
    assert sites.site_at((6, 18, 12)) is None
    assert sites.site_at((6, 18, 12), within_mm=3.0).id == 0  # 15 is the last one
    assert sites.site_at((8, 12, 12), within_mm=3.0).id == 0
    assert sites.site_at((8, 12, 12), within_mm=3.0, across=0) is None
    assert sites.site_at((0, 0, 0), within_mm=2.0) is None
    ahead = np.array([0.5, 0.0, 0.0])
    assert sites.site_along(np.array([15.0, 12.0, 12.0]), ahead).id == 0  # it lies behind, too
    diagonal = np.array([15.0, 40.0, 40.0]) - np.array([6.0, 12.0, 12.0])
    for start, step, expected in (
        ((-30.0, -100.0, -100.0), diagonal / 100, 0),
        ((60.0, 180.0, 180.0), -diagonal / 100, 1),
    ):
        assert sites.site_along(np.array(start), step).id == expected
    assert sites.site_along(np.array([0.0, 0.0, 0.0]), ahead) is None


def test_a_volume_without_discrepant_voxels_has_no_sites() -> None:
    pair = make_pair(np.zeros((3, 4, 5), bool))
    sites = SiteIndex.from_prediction(pair)
    assert (len(sites), sites.total, sites.folded_ml) == (0, 0, 0)
    assert sites.ranked(Quadripartition(pair), specks=True) == []
    assert sites.site_at((1, 1, 1), within_mm=5.0) is None


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    reach=st.one_of(st.floats(0, 12), st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.0])),
    spacing=st.sampled_from([(3.0, 1.0, 1.0), (0.7, 0.7, 0.7), (1.0, 2.5, 0.4)]),
)
def test_neighbourhood_is_all_within_reach(seed, reach, spacing) -> None:
    shape = (6, 14, 15)
    rng = np.random.default_rng(seed)
    sites = SiteIndex.from_prediction(make_pair(rng.random(shape) < 0.02, seed))
    if not sites.total:
        return
    site = sites.site(sites.total - 1)
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
