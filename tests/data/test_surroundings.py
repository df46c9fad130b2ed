"""What is cut out around a site, and the walk from it through unsure voxels."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.surroundings import Surroundings
from napari_metassl.method.region import Region

SHAPE = (9, 14, 16)
SPACING = (3.0, 1.0, 1.5)


def cut(site_mask, reach, corrected=None, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, (2, *SHAPE)).astype(np.uint8)
    prediction = PredictionPair.from_labels_and_confidence(
        labels,
        generator.random(labels.shape).astype(np.float32),
        Geometry.from_spacing(SPACING, SHAPE),
        PredictionCard(pair_name="random", classes=3),
    )
    box = tuple(slice(int(a.min()), int(a.max()) + 1) for a in np.nonzero(site_mask))
    site = SimpleNamespace(voxels=np.flatnonzero(site_mask), box=box)
    corrected = np.zeros(SHAPE, np.uint8) if corrected is None else corrected
    quadripartition = Quadripartition(prediction)
    image = generator.random(SHAPE)
    return Surroundings.of(site, quadripartition, [image], corrected, reach), quadripartition, image


def some_site(seed):
    mask = np.zeros(SHAPE, bool)
    low = np.random.default_rng(seed).integers(0, np.array(SHAPE) - 4)
    mask[tuple(slice(k, k + 2) for k in low)] = True
    mask[tuple(low + 3)] = True
    return mask


@pytest.mark.parametrize("seed", range(3))
def test_the_parts_are_those_of_the_volume(seed):
    corrected = np.random.default_rng(seed).choice([0, 0, 1, 255], SHAPE).astype(np.uint8)
    mask = some_site(seed)
    around, quadripartition, image = cut(mask, 3.0, corrected, seed)
    prediction = quadripartition.prediction
    said = np.where(corrected == 255, 0, corrected)
    shown = np.where(corrected == 0, prediction.merged(), said)
    np.testing.assert_array_equal(around.shown, shown[around.box])
    np.testing.assert_array_equal(around.touched, corrected[around.box] != 0)
    regions = np.asarray(quadripartition.regions)
    np.testing.assert_array_equal(around.sure, regions[around.box] == Region.UC)
    np.testing.assert_array_equal(around.image[0], image[around.box].astype(np.float32))
    np.testing.assert_array_equal(around.own[1], prediction.label(1)[mask])
    np.testing.assert_array_equal(around.flat(around.site_places), np.flatnonzero(mask))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 9.0), st.floats(0.3, 1.0))
def test_the_walk_finds_what_is_connected_and_near(seed, reach, share):
    mask = some_site(seed)
    around, _, _ = cut(mask, reach)
    candidates = np.random.default_rng(seed).random(around.shown.shape) < share
    places, distance, origin = around.connected(candidates, reach)
    found = np.zeros(candidates.shape, bool)
    found[tuple(places)] = True
    assert found.sum() == len(distance) and not (found & ~candidates).any()
    away = (places - around.site_places[:, origin]) * np.array(SPACING)[:, None]
    np.testing.assert_allclose(np.linalg.norm(away, axis=0), distance)
    site = mask[around.box]
    pieces, _ = ndimage.label(candidates | site)
    reachable = candidates & np.isin(pieces, np.unique(pieces[site]))
    truly = ndimage.distance_transform_edt(~site, sampling=SPACING)
    assert not (found & ~(reachable & (truly <= reach + 1e-3))).any()
    if share == 1.0:  # nothing in the way
        assert found.sum() >= 0.98 * (truly <= reach).sum()
    assert (found | ~candidates)[site].all()


def test_only_so_many_are_those_nearest():
    mask = some_site(1)
    around, _, _ = cut(mask, 9.0)
    everywhere = np.ones(around.shown.shape, bool)
    _, distance, _ = around.connected(everywhere, 9.0)
    places, few, _ = around.connected(everywhere, 9.0, most=60)
    assert places.shape == (3, 60) and few.max() <= np.sort(distance)[60] + 1e-6


def test_near_needs_no_connection():
    mask = some_site(2)
    around, _, _ = cut(mask, 6.0)
    candidates = np.random.default_rng(0).random(around.shown.shape) < 0.1
    truly = ndimage.distance_transform_edt(~mask[around.box], sampling=SPACING)
    expected = np.stack(np.nonzero(candidates & (truly <= 6.0)))
    np.testing.assert_array_equal(around.near(candidates, 6.0), expected)
