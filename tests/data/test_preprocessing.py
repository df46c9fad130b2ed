import numpy as np
import pytest

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.preprocessing import (
    labels_to_network_grid,
    network_grid_shape,
    network_spacing,
    to_network_grid,
)
from napari_metassl.data.volume import Volume
from napari_metassl.errors import PairProblem
from napari_metassl.method.network_config import NetworkConfig


def card(dims=3, channels=1, **fields):
    network = NetworkConfig(architecture="UNet", spatial_dims=dims, in_channels=channels, classes=2)
    return ModelCard(
        name="p", class_names=("background", "a"), supervised=network, reference=network,
        patch_size=(16,) * dims, **fields,
    )  # fmt: skip


def volume(data, spacing=(1.0, 1.0, 1.0), name="p07"):
    return Volume(name, data, Geometry.from_spacing(spacing, data.shape))


def body_in_air(shape=(10, 12, 14), dtype=np.int16):
    """A body of intensities 100..300 in air of 0."""
    data = np.zeros(shape, dtype)
    data[2:8, 3:9, 3:9] = np.random.default_rng(0).integers(100, 300, (6, 6, 6))
    return data


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_zscore_is_over_the_voxels_above_the_minimum(dtype):
    data = (body_in_air() // 2).astype(dtype)
    image = to_network_grid([volume(data)], card())
    body = image[0][data > 0]
    assert image.dtype == np.float32
    assert image.shape == (1, 10, 12, 14)
    assert body.mean() == pytest.approx(0, abs=1e-5)
    assert body.std() == pytest.approx(1, abs=1e-5)
    assert np.unique(image[0][data == 0]).size == 1
    assert image.min() == image[0, 0, 0, 0] < body.min()


def test_zscore_does_not_depend_on_how_much_air_there_is():
    data = body_in_air()
    padded = np.pad(data, 5)
    image = to_network_grid([volume(data)], card())
    np.testing.assert_allclose(
        to_network_grid([volume(padded)], card())[:, 5:-5, 5:-5, 5:-5], image, atol=1e-5
    )


def test_window_and_percentiles_and_none():
    data = np.arange(1001, dtype=np.float32).reshape(7, 11, 13)
    windowed = to_network_grid(
        [volume(data)], card(normalisation={"kind": "window", "low": 250, "high": 750})
    )
    np.testing.assert_allclose(windowed[0], np.clip((data - 250) / 500, 0, 1), atol=1e-6)
    percentile = to_network_grid(
        [volume(data)], card(normalisation={"kind": "percentile", "low": 10, "high": 90})
    )
    low, high = np.percentile(data.ravel()[1:], (10, 90))
    np.testing.assert_allclose(percentile[0], np.clip((data - low) / (high - low), 0, 1), atol=1e-5)
    plain = to_network_grid([volume(data)], card(normalisation={"kind": "none"}))
    np.testing.assert_array_equal(plain[0], data)


@pytest.mark.parametrize("kind", ["zscore", "percentile", "none"])
@pytest.mark.parametrize("value", [0, 7])
def test_constant_volume_stays_finite(kind, value):
    data = np.full((4, 4, 4), value, np.int16)
    assert np.isfinite(to_network_grid([volume(data)], card(normalisation={"kind": kind}))).all()


def test_unknown_intensities_are_taken_for_air():
    data = body_in_air(dtype=np.float32)
    clean = to_network_grid([volume(data)], card())
    data[0, 0, 0], data[0, 0, 1], data[0, 0, 2] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(to_network_grid([volume(data)], card()), clean)


def test_volume_is_left_alone():
    data = body_in_air(dtype=np.float32)
    before = data.copy()
    to_network_grid([volume(data)], card())
    np.testing.assert_array_equal(data, before)


def test_channels_are_normalised_each_by_itself():
    data = body_in_air()
    image = to_network_grid([volume(data), volume(data * 3 + 50)], card(channels=2))
    np.testing.assert_allclose(image[0], image[1], atol=1e-5)


def test_grid_covers_the_same_extent():
    pair = card(spacing=(1.5, 2.0, 1.0))
    shape, spacing = (30, 100, 50), (5.0, 0.7, 0.7)
    assert network_grid_shape(shape, spacing, pair) == (100, 35, 35)
    geometry = Geometry.from_spacing(spacing, shape)
    exact = np.array(network_spacing(geometry, shape, pair)) * (100, 35, 35)
    np.testing.assert_allclose(exact, np.multiply(shape, spacing))
    assert network_grid_shape((1, 1, 1), (0.1, 0.1, 0.1), pair) == (1, 1, 1)
    assert network_grid_shape(shape, spacing, card()) == shape
    flat = card(dims=2, spacing=(9.0, 1.4, 1.4))
    assert network_grid_shape(shape, spacing, flat) == (30, 50, 25)


def ramp(shape, spacing):
    """World coordinate of every voxel centre, per axis, measured from the volume's outer corner."""
    grids = np.indices(shape).astype(np.float32)
    return [(g + 0.5) * s for g, s in zip(grids, spacing, strict=True)]


@pytest.mark.parametrize("target", [(1.0, 0.5, 0.5), (4.0, 2.0, 1.3), (2.0, 1.0, 1.0)])
def test_resampling_keeps_voxels_where_they_are_in_the_world(target):
    shape, spacing = (20, 24, 26), (2.0, 1.0, 1.0)
    pair = card(spacing=target, normalisation={"kind": "none"})
    inner = (slice(5, -5),) * 3
    for axis, coordinate in enumerate(ramp(shape, spacing)):
        given = volume(coordinate, spacing)
        image = to_network_grid([given], pair)[0]
        exact = network_spacing(given.geometry, shape, pair)
        expected = ramp(image.shape, exact)[axis]
        np.testing.assert_allclose(image[inner], expected[inner], atol=1e-3)


def test_coarser_grid_averages_instead_of_skipping():
    noise = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
    pair = card(spacing=(4.0, 4.0, 4.0), normalisation={"kind": "none"})
    image = to_network_grid([volume(noise)], pair)
    assert image.shape == (1, 10, 10, 10)
    assert image.std() < 0.25


def test_labels_take_the_nearest_value_and_keep_no_label():
    labels = np.full((8, 8, 8), -1, np.int16)
    labels[2:6, 2:6, 2:6] = 3
    geometry = Geometry.from_spacing((1, 1, 1), labels.shape)
    fine = labels_to_network_grid(labels, geometry, card(spacing=(0.5, 0.5, 0.5)))
    np.testing.assert_array_equal(fine, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    coarse = labels_to_network_grid(fine, Geometry.from_spacing((0.5,) * 3, fine.shape),
                                    card(spacing=(1, 1, 1)))  # fmt: skip
    np.testing.assert_array_equal(coarse, labels)
    assert coarse.dtype == np.int16
    mask = labels_to_network_grid(labels == 3, geometry, card(spacing=(0.5, 0.5, 0.5)))
    np.testing.assert_array_equal(mask, fine == 3)
    assert labels_to_network_grid(labels, geometry, card()) is labels


@pytest.mark.parametrize(
    ("volumes", "sentence"),
    [
        ([], r"takes 2 image channel\(s\) but 0 were given \(none\)"),
        ([volume(np.zeros((4, 4, 4)), name="t1")], r"but 1 were given \(t1\)"),
        (
            [volume(np.zeros((4, 4, 4)), name="t1"), volume(np.zeros((4, 4, 5)), name="t2")],
            r"'t2' has shape \(4, 4, 5\) but 't1'",
        ),
        (
            [
                volume(np.zeros((4, 4, 4)), name="t1"),
                volume(np.zeros((4, 4, 4)), (1.0, 1.0, 2.0), name="t2"),
            ],
            r"'t2' lies on another grid than 't1'",
        ),
    ],
)
def test_wrong_channels_are_said_in_one_sentence(volumes, sentence):
    with pytest.raises(PairProblem, match=sentence):
        to_network_grid(volumes, card(channels=2))
