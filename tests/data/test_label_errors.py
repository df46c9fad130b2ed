"""Possible label errors: found where both networks are sure of another class, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.label_errors import find_label_errors
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.errors import ProjectProblem

SHAPE = (6, 20, 20)
SPACING = (2.0, 1.0, 1.0)


def predict(a: np.ndarray, b: np.ndarray, sure_a: np.ndarray, sure_b: np.ndarray) -> PredictionPair:
    card = PredictionCard(pair_name="p", classes=3, thresholds=((0.9, 0.8, 0.7), (0.9, 0.8, 0.7)))
    geometry = Geometry.from_spacing(SPACING, SHAPE)
    return PredictionPair.from_labels_and_confidence(
        np.stack([a, b]), np.stack([sure_a, sure_b]), geometry, card
    )


def test_only_what_both_are_sure_of_counts() -> None:
    a = np.zeros(SHAPE, np.uint8)
    sure_a = np.full(SHAPE, 0.99, np.float32)
    sure_b = sure_a.copy()
    b = a.copy()
    manual = np.zeros(SHAPE, np.uint8)
    a[1:5, 2:8, 2:8] = b[1:5, 2:8, 2:8] = 1  # both, surely: 144 voxels of 2 mm3
    a[1:5, 2:8, 11:18] = 1  # only one network
    a[1:5, 11:18, 2:8] = b[1:5, 11:18, 2:8] = 2
    sure_b[1:5, 11:18, 2:8] = 0.69  # the other is not sure
    manual[1:5, 11:18, 11:18] = 2  # missed by both: 196 voxels
    manual[0, 0, 0] = 1  # a speck
    errors = find_label_errors(predict(a, b, sure_a, sure_b), manual)
    assert [(e.labeled, e.predicted, len(e.voxels)) for e in errors] == [(2, 0, 196), (0, 1, 144)]
    assert [e.id for e in errors] == [0, 1]
    assert errors[1].ml == pytest.approx(144 * 2 / 1000)
    assert errors[1].box == (slice(1, 5), slice(2, 8), slice(2, 8))
    assert np.ravel_multi_index(errors[1].center, SHAPE) in errors[1].voxels
    assert errors[1].mean_confidence == pytest.approx(0.99, abs=2e-3)

    sure_b[1:5, 11:18, 2:8] = 0.8  # above the threshold of class 2, which is 0.7
    found = find_label_errors(predict(a, b, sure_a, sure_b), manual)
    assert (0, 2, 168) in [(e.labeled, e.predicted, len(e.voxels)) for e in found]
    specks = find_label_errors(predict(a, b, sure_a, sure_b), manual, minimum_mm3=1)
    assert (1, 0, 1) in [(e.labeled, e.predicted, len(e.voxels)) for e in specks]
    assert len(find_label_errors(predict(a, b, sure_a, sure_b), manual, limit=2)) == 2


def test_touching_places_of_another_kind_are_apart() -> None:
    a = np.zeros(SHAPE, np.uint8)
    a[:, 4:10, 4:10] = 1
    a[:, 4:10, 10:16] = 2
    sure = np.full(SHAPE, 0.95, np.float32)
    errors = find_label_errors(predict(a, a, sure, sure), np.zeros(SHAPE, np.uint8))
    assert sorted((e.predicted, len(e.voxels)) for e in errors) == [(1, 216), (2, 216)]


def test_a_label_that_is_right_has_none() -> None:
    a = np.zeros(SHAPE, np.uint8)
    a[:, 4:10, 4:10] = 1
    sure = np.full(SHAPE, 0.95, np.float32)
    assert find_label_errors(predict(a, a, sure, sure), a) == []


def test_another_shape_is_one_sentence() -> None:
    a = np.zeros(SHAPE, np.uint8)
    sure = np.full(SHAPE, 0.95, np.float32)
    with pytest.raises(ProjectProblem, match=r"\(3, 20, 20\).*\(6, 20, 20\)"):
        find_label_errors(predict(a, a, sure, sure), a[:3])
