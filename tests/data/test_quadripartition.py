"""Regions and shares, against the definition computed voxel by voxel from decoded confidences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.quadripartition import (
    REGION_COLORS,
    Quadripartition,
    Reference,
)
from napari_metassl.errors import ProjectProblem
from napari_metassl.method.confidence import LEVEL_CONFIDENCE
from napari_metassl.method.region import Region

SHAPE = (6, 8, 10)


def make_pair(
    seed: int, classes: int, thresholds: tuple | None = None, shape: tuple = SHAPE
) -> PredictionPair:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (2, *shape))
    labels[1] = np.where(rng.random(shape) < 0.7, labels[0], labels[1])
    levels = rng.integers(0, 256, (2, *shape)).astype(np.uint8)
    card = PredictionCard(pair_name="p", classes=classes, thresholds=thresholds)
    geometry = Geometry.from_spacing((2, 0.5, 0.5), shape)
    return PredictionPair.from_labels_and_confidence(labels, levels, geometry, card)


def brute_force(pair: PredictionPair, thresholds: np.ndarray, reference: Reference) -> np.ndarray:
    """Read the definition aloud: unanimous if labels agree, confident if above the threshold."""
    unanimous = pair.label(0) == pair.label(1)
    confident = np.ones(pair.shape, bool)
    for network in (0, 1):
        if reference in (Reference.BOTH, list(Reference)[network]):
            confidence = pair.confidence(network).astype(np.float64)
            confident &= confidence > thresholds[network][pair.label(network)]
    return np.select(
        [unanimous & confident, unanimous & ~confident, ~unanimous & confident],
        [Region.UC, Region.US, Region.DC],
        Region.DS,
    )


# Thresholds that are exactly a decodable confidence show whether "above" is strict.
levels = st.one_of(
    st.floats(-0.5, 1.5), st.sampled_from([float(value) for value in LEVEL_CONFIDENCE])
)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    classes=st.sampled_from([2, 4, 128]),
    reference=st.sampled_from(list(Reference)),
    data=st.data(),
)
def test_regions_and_shares_are_those_of_the_definition(seed, classes, reference, data) -> None:
    pair = make_pair(seed, classes)
    rows = data.draw(st.lists(levels, min_size=2 * classes, max_size=2 * classes))
    thresholds = np.reshape(rows, (2, classes))
    quadripartition = Quadripartition(pair)
    quadripartition.set_thresholds(thresholds, reference)
    expected = brute_force(pair, thresholds, reference)
    np.testing.assert_array_equal(np.asarray(quadripartition.regions), expected)
    assert quadripartition.shares() == {r: int((expected == r).sum()) for r in Region}


def test_one_threshold_per_class_counts_for_both_networks() -> None:
    pair = make_pair(5, 3)
    quadripartition = Quadripartition(pair)
    quadripartition.set_thresholds([0.2, 0.6, 0.9], Reference.BOTH)
    expected = brute_force(pair, np.array([[0.2, 0.6, 0.9]] * 2), Reference.BOTH)
    np.testing.assert_array_equal(np.asarray(quadripartition.regions), expected)


def test_it_starts_at_the_adaptive_thresholds_of_the_reference_network() -> None:
    adaptive = ((0.5, 0.6, 0.7), (0.2, 0.3, 0.4))
    pair = make_pair(6, 3, adaptive)
    quadripartition = Quadripartition(pair)
    assert quadripartition.reference is Reference.REFERENCE
    np.testing.assert_array_equal(quadripartition.thresholds, adaptive)
    expected = brute_force(pair, np.array(adaptive), Reference.REFERENCE)
    np.testing.assert_array_equal(np.asarray(quadripartition.regions), expected)
    assert (Quadripartition(make_pair(6, 3)).thresholds == 0.9).all()


def test_shares_in_percent_and_ml_add_up_to_the_volume() -> None:
    quadripartition = Quadripartition(make_pair(7, 3))
    assert sum(quadripartition.shares_percent().values()) == pytest.approx(100)
    volume_ml = np.prod(SHAPE) * 2 * 0.5 * 0.5 / 1000
    assert sum(quadripartition.shares_ml().values()) == pytest.approx(volume_ml)
    assert sum(quadripartition.shares_ml(0.25).values()) == pytest.approx(np.prod(SHAPE) / 4)


def test_the_view_is_the_same_object_and_leaves_the_codes_alone() -> None:
    pair = make_pair(8, 3)
    before = pair.codes.copy()
    quadripartition = Quadripartition(pair)
    view = quadripartition.regions
    first = np.asarray(view)
    quadripartition.set_thresholds([0.0] * 3)
    assert quadripartition.regions is view
    assert (np.asarray(view) != first).any()
    np.testing.assert_array_equal(pair.codes, before)
    pair.codes.flags.writeable = False  # nothing may want to write there
    quadripartition.set_thresholds([0.5] * 3, Reference.BOTH)
    quadripartition.shares()


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        slice(1, 4),
        slice(None, None, -2),
        (2, slice(None), 5),
        (slice(None), 3),
        (..., 4),
        (1, 2, 3),
        (slice(0, 2), slice(3, 5), slice(1, 9, 3)),
        (np.array([0, 1]), np.array([2, 3]), np.array([4, 5])),
    ],
)
@pytest.mark.parametrize("reference", list(Reference))
def test_views_are_indexed_like_arrays(key, reference) -> None:
    quadripartition = Quadripartition(make_pair(9, 3))
    quadripartition.set_thresholds([0.3, 0.5, 0.7], reference)
    views = [
        quadripartition.regions,
        quadripartition.label_view("merged"),
        quadripartition.label_view(0),
        quadripartition.confidence_view(1),
    ]
    for view in views:
        whole = np.asarray(view)
        assert (view.shape, view.ndim, view.size, len(view)) == (SHAPE, 3, whole.size, len(whole))
        assert view.dtype == whole.dtype
        np.testing.assert_array_equal(view[key], whole[key])
    assert np.asarray(views[0], dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.asarray(views[0], copy=False)


def test_napari_shows_the_views_and_follows_the_threshold() -> None:
    components = pytest.importorskip("napari.components")
    pair = make_pair(10, 3)
    quadripartition = Quadripartition(pair)
    viewer = components.ViewerModel()
    regions = viewer.add_labels(quadripartition.regions, scale=(2, 0.5, 0.5))
    confidence = viewer.add_image(quadripartition.confidence_view(1))
    assert regions.data is quadripartition.regions
    for z in (0, 4):
        for thresholds in ([0.1] * 3, [0.9] * 3):
            quadripartition.set_thresholds(thresholds)
            viewer.dims.set_point(0, 2 * z)
            regions.refresh()
            shown = [regions.get_value((2 * z, y / 2, 1), world=True) for y in range(SHAPE[1])]
            assert shown == list(np.asarray(quadripartition.regions)[z, :, 2])
    viewer.dims.ndisplay = 3
    assert confidence.data.shape == SHAPE


def test_thresholds_of_another_number_of_classes_are_refused() -> None:
    quadripartition = Quadripartition(make_pair(11, 3))
    for wrong in ([0.5], [0.5] * 4, [[0.5] * 3] * 3, [0.5, 0.5, float("nan")], 0.5):
        with pytest.raises(ProjectProblem, match="expected 3 numbers"):
            quadripartition.set_thresholds(wrong)


def test_volumes_without_a_discrepant_voxel_and_with_nothing_else() -> None:
    card = PredictionCard(pair_name="p", classes=2)
    same = np.zeros((2, *SHAPE), np.uint8)
    differ = same.copy()
    differ[1] = 1
    levels = np.full((2, *SHAPE), 128, np.uint8)
    voxels = int(np.prod(SHAPE))
    for labels, regions in ((same, (Region.UC, Region.US)), (differ, (Region.DC, Region.DS))):
        pair = PredictionPair.from_labels_and_confidence(
            labels, levels, Geometry.from_spacing((1, 1, 1), SHAPE), card
        )
        quadripartition = Quadripartition(pair)
        for threshold, region in zip((0.1, 0.99), regions, strict=True):
            quadripartition.set_thresholds([threshold] * 2, Reference.BOTH)
            assert quadripartition.shares()[region] == voxels


@pytest.mark.parametrize("network", [0, 1])
def test_histogram_of_confidence_is_that_of_the_voxels(network: int) -> None:
    pair = make_pair(12, 3)
    codes = pair.codes[network].astype(int)
    counted = np.zeros((3, 256), int)
    np.add.at(counted, (codes >> 8 & 0x7F, codes & 0xFF), 1)
    found = Quadripartition(pair).confidence_histogram(network)
    np.testing.assert_array_equal(found, counted)


def test_region_numbers_are_those_of_the_method_and_colours_differ() -> None:
    from napari_metassl.method import regions

    assert [(r.name, int(r)) for r in Region] == [(r.name, int(r)) for r in regions.Region]
    assert len(set(REGION_COLORS.values())) == len(Region) == len(REGION_COLORS)
