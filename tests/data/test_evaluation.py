import json
import math
import time

import numpy as np
import pytest

from napari_metassl.data.evaluation import CaseScores, ClassScores, evaluate_case, summarise
from napari_metassl.errors import MetaSSLError

NAMES = ("background", "a", "b")
SPACING = (3.0, 1.0, 0.5)


def cube(*corners, label=1, shape=(20, 40, 60)):
    """Labels with a box from corner to corner."""
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(first, last) for first, last in corners)] = label
    return labels


def test_same_segmentation_is_perfect():
    truth = cube((2, 8), (5, 15), (5, 25))
    scores = evaluate_case(truth, truth, SPACING, NAMES, "p07")
    assert scores.name == "p07"
    assert scores.classes["a"] == ClassScores(dice=1, hd95=0, asd=0)
    assert list(scores.classes) == ["a", "b"]


@pytest.mark.parametrize(("axis", "step"), [(0, 1), (1, 4), (2, 6)])
def test_shifted_plate_by_hand(axis, step):
    """A plate one voxel thick moved along its normal: every surface voxel is step mm away."""
    corners = [(2, 18), (5, 35), (5, 55)]
    corners[axis] = (10, 11)
    truth = cube(*corners)
    corners[axis] = (10 + step, 11 + step)
    scores = evaluate_case(cube(*corners), truth, SPACING, NAMES).classes["a"]
    assert scores.dice == 0
    assert scores.hd95 == pytest.approx(step * SPACING[axis])
    assert scores.asd == pytest.approx(step * SPACING[axis])


def test_half_of_a_cube_by_hand():
    truth = cube((4, 8), (0, 10), (0, 10))
    prediction = cube((4, 6), (0, 10), (0, 10))
    scores = evaluate_case(prediction, truth, SPACING, NAMES).classes["a"]
    assert scores.dice == pytest.approx(2 * 200 / (200 + 400))
    assert scores.hd95 == pytest.approx(6.0)  # two slices of 3 mm
    assert 0 < scores.asd < 6.0


def brute_force_distances(prediction, truth, spacing):
    """Distances between surface voxels, by comparing all with all."""
    from scipy.ndimage import binary_erosion

    surfaces = []
    for mask in (prediction, truth):
        padded = np.pad(mask, 1)
        edge = (padded & ~binary_erosion(padded))[1:-1, 1:-1, 1:-1]
        surfaces.append(np.argwhere(edge) * spacing)
    apart = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=-1)
    return apart.min(axis=1), apart.min(axis=0)


def test_distances_against_all_pairs_of_surface_voxels():
    truth = cube((4, 9), (10, 20), (10, 25))
    prediction = cube((5, 9), (8, 19), (14, 30))
    prediction[6, 18:24, 20] = 1
    one, other = brute_force_distances(prediction > 0, truth > 0, SPACING)
    scores = evaluate_case(prediction, truth, SPACING, NAMES).classes["a"]
    assert scores.asd == pytest.approx(np.concatenate([one, other]).mean(), rel=1e-4)
    expected = max(np.percentile(one, 95), np.percentile(other, 95))
    assert scores.hd95 == pytest.approx(expected, rel=1e-4)


def test_classes_do_not_mix():
    truth = cube((2, 8), (5, 15), (5, 25)) + cube((10, 15), (5, 15), (5, 25), label=2)
    prediction = cube((2, 8), (5, 15), (5, 25)) + cube((10, 15), (5, 15), (5, 15), label=2)
    scores = evaluate_case(prediction, truth, SPACING, NAMES)
    assert scores.classes["a"].dice == 1
    assert scores.classes["b"].dice == pytest.approx(2 / 3)
    assert scores.mean("dice") == pytest.approx(5 / 6)


def test_absent_structures():
    nothing, something = cube((0, 0), (0, 0), (0, 0)), cube((2, 8), (5, 15), (5, 25))
    for prediction, truth in ((nothing, something), (something, nothing)):
        scores = evaluate_case(prediction, truth, SPACING, NAMES)
        assert scores.classes["a"].dice == 0
        assert math.isnan(scores.classes["a"].hd95)
        assert math.isnan(scores.classes["a"].asd)
        assert math.isnan(scores.classes["b"].dice)  # absent in both: not counted
        assert scores.mean("dice") == 0


def case(name, **dice):
    return CaseScores(name=name, classes={k: ClassScores(dice=v) for k, v in dice.items()})


def test_summary_has_mean_spread_and_number_of_cases():
    cases = [case("1", a=0.8, b=0.5), case("2", a=0.9, b=math.nan), case("3", a=1.0, b=0.7)]
    summary = summarise(cases)
    a, b = summary.classes["a"]["dice"], summary.classes["b"]["dice"]
    assert (a.mean, a.spread, a.cases) == (pytest.approx(0.9), pytest.approx(0.1), 3)
    assert (b.mean, b.spread, b.cases) == (pytest.approx(0.6), pytest.approx(0.2 / 2**0.5), 2)
    overall = summary.overall["dice"]
    assert overall.mean == pytest.approx((0.65 + 0.9 + 0.85) / 3)
    assert summary.overall["hd95"].cases == 0
    assert math.isnan(summary.overall["hd95"].mean)
    assert math.isnan(summarise(cases[:1]).overall["dice"].spread)


def test_json_has_null_where_nothing_is_defined():
    scores = case("1", a=0.8, b=math.nan)
    plain = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert plain["classes"]["a"] == {"dice": 0.8, "hd95": None, "asd": None}
    assert plain["mean"]["dice"] == 0.8
    summary = json.loads(json.dumps(summarise([scores]).to_json(), allow_nan=False))
    assert summary["classes"]["b"]["dice"] == {"mean": None, "spread": None, "cases": 0}
    assert summarise([]).to_json()["overall"]["dice"]["cases"] == 0


@pytest.mark.parametrize(
    ("prediction", "truth", "sentence"),
    [
        (np.zeros((2, 2, 2)), np.zeros((2, 2, 3)), r"shape \(2, 2, 2\) but its label has"),
        (np.zeros((2, 2, 2)), np.full((2, 2, 2), 7), r"reaches 7 but there are only 3 classes"),
    ],
)
def test_what_cannot_be_compared_is_said(prediction, truth, sentence):
    with pytest.raises(MetaSSLError, match=sentence):
        evaluate_case(prediction, truth, SPACING, NAMES, "p07")


def test_small_structure_in_a_large_volume_is_quick():
    truth = cube((50, 58), (100, 140), (100, 140), shape=(120, 320, 320))
    prediction = cube((51, 58), (100, 140), (98, 140), shape=(120, 320, 320))
    began = time.perf_counter()
    evaluate_case(prediction, truth, SPACING, NAMES[:2])
    assert time.perf_counter() - began < 5
