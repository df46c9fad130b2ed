"""Right and wrong voxels by confidence: what is counted, and what follows at any threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.reliability import ConfidenceCounts, Reliability
from napari_metassl.method.confidence import LEVEL_CONFIDENCE

SHAPE = (2, 10, 10)


def predict(labels: np.ndarray, levels: np.ndarray, classes: int = 2) -> PredictionPair:
    geometry = Geometry.from_spacing((1.0, 1.0, 1.0), SHAPE)
    card = PredictionCard(pair_name="p", classes=classes)
    return PredictionPair.from_labels_and_confidence(labels, levels, geometry, card)


def made_up() -> tuple[PredictionPair, np.ndarray]:
    """Network B gives class 1 to slice 0: level 100 (40 right of 60), level 200 (36 of 40)."""
    labels = np.zeros((2, *SHAPE), np.uint8)
    levels = np.full((2, *SHAPE), 250, np.uint8)
    labels[1, 0] = 1
    levels[1, 0].reshape(-1)[:60] = 100
    levels[1, 0].reshape(-1)[60:] = 200
    truth = np.zeros(SHAPE, np.uint8)
    truth[0].reshape(-1)[:40] = 1
    truth[0].reshape(-1)[60:96] = 1
    return predict(labels, levels), truth


def test_shares_at_any_threshold() -> None:
    prediction, truth = made_up()
    found = Reliability.over([ConfidenceCounts.of(prediction, truth)])
    assert found is not None and found.volumes == 1
    assert found.right_share(1, 1, 0.0) == pytest.approx(76 / 100)
    assert found.right_share(1, 1, float(LEVEL_CONFIDENCE[100])) == pytest.approx(36 / 40)
    assert found.right_share(1, 1, float(LEVEL_CONFIDENCE[100]) - 1e-6) == pytest.approx(0.76)
    assert math.isnan(found.right_share(1, 1, 0.99))
    assert found.right_share(1, 0, 0.5) == 1.0  # slice 1
    assert found.right_share(0, 0, 0.5) == pytest.approx(124 / 200)  # A misses all of it
    assert math.isnan(found.right_share(0, 1, 0.5))


def test_calibration_error_and_curve() -> None:
    prediction, truth = made_up()
    found = Reliability.over([ConfidenceCounts.of(prediction, truth)])
    assert found is not None
    low, high = float(LEVEL_CONFIDENCE[100]), float(LEVEL_CONFIDENCE[200])
    expected = 0.6 * abs(40 / 60 - low) + 0.4 * abs(36 / 40 - high)
    assert found.ece(1, 1) == pytest.approx(expected, abs=1e-6)
    curve = found.curve(1, 1)
    np.testing.assert_allclose(curve[0], [low, high], atol=1e-6)
    np.testing.assert_allclose(curve[1], [40 / 60, 36 / 40])
    np.testing.assert_array_equal(curve[2], [60, 40])
    assert math.isnan(found.ece(0, 1)) and found.curve(0, 1).shape == (3, 0)


def test_volumes_add_up_and_come_back_from_json() -> None:
    prediction, truth = made_up()
    counts = ConfidenceCounts.of(prediction, truth)
    again = ConfidenceCounts.model_validate_json(counts.model_dump_json())
    assert again == counts
    both = Reliability.over([counts, again])
    assert both is not None and both.volumes == 2
    assert both.voxels.sum() == 2 * 2 * np.prod(SHAPE)
    assert both.right_share(1, 1, 0.0) == pytest.approx(0.76)
    assert Reliability.over([]) is None


def test_perfect_confidence_has_no_error() -> None:
    generator = np.random.default_rng(0)
    levels = generator.integers(60, 256, (2, *SHAPE)).astype(np.uint8)
    labels = np.ones((2, *SHAPE), np.uint8)
    right = generator.random(SHAPE) < LEVEL_CONFIDENCE[levels[1]]
    voxels = np.tile(levels, (1, 1, 50, 1))
    many = np.tile(right, (1, 50, 1))
    # The same levels drawn fifty times over: the right share of every level nears its confidence.
    many = generator.random(many.shape) < LEVEL_CONFIDENCE[voxels[1]]
    geometry = Geometry.from_spacing((1.0, 1.0, 1.0), many.shape)
    card = PredictionCard(pair_name="p", classes=2)
    prediction = PredictionPair.from_labels_and_confidence(
        np.ones_like(voxels), voxels, geometry, card
    )
    found = Reliability.over([ConfidenceCounts.of(prediction, many.astype(np.uint8))])
    assert found is not None and found.ece(1, 1) < 0.02
    assert labels.all()
