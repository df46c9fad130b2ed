"""Codes of a prediction: what goes in comes out, on disk too."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import (
    Network,
    PredictionCard,
    PredictionPair,
    read_prediction_card,
)
from napari_metassl.data.volume_io import read_labels, read_volume, write_labels
from napari_metassl.errors import FileProblem
from napari_metassl.method.confidence import LEVEL_CONFIDENCE, confidence_to_level

SHAPE = (5, 6, 7)


def card(classes: int = 4) -> PredictionCard:
    return PredictionCard(
        pair_name="heart",
        classes=classes,
        thresholds=((0.9,) * classes, (0.8,) * classes),
        pair_sha256="ab",
    )


def random_pair(
    seed: int = 0, classes: int = 4, shape: tuple[int, int, int] = SHAPE
) -> tuple[PredictionPair, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, (2, *shape)).astype(np.uint8)
    levels = rng.integers(0, 256, (2, *shape)).astype(np.uint8)
    geometry = Geometry.from_spacing((2.5, 0.8, 0.8), shape)
    pair = PredictionPair.from_labels_and_confidence(labels, levels, geometry, card(classes))
    return pair, labels, levels


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), classes=st.sampled_from([2, 3, 5, 128]))
def test_codes_hold_label_confidence_and_agreement(seed: int, classes: int) -> None:
    pair, labels, levels = random_pair(seed, classes)
    for network in Network:
        np.testing.assert_array_equal(pair.label(network), labels[network])
        np.testing.assert_array_equal(pair.confidence(network), LEVEL_CONFIDENCE[levels[network]])
    np.testing.assert_array_equal(pair.discrepant(), labels[0] != labels[1])
    first_wins = levels[0] >= levels[1]
    np.testing.assert_array_equal(pair.merged(), np.where(first_wins, labels[0], labels[1]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_confidences_are_quantised_and_nan_is_unsure(dtype: type) -> None:
    labels = np.zeros((2, *SHAPE), np.int64)
    confidence = np.linspace(0, 1, labels.size, dtype=dtype).reshape(labels.shape)
    confidence[0, 0, 0, 0] = np.nan
    geometry = Geometry.from_spacing((1, 1, 1), SHAPE)
    pair = PredictionPair.from_labels_and_confidence(labels, confidence, geometry, card())
    expected = LEVEL_CONFIDENCE[confidence_to_level(np.nan_to_num(confidence.astype(np.float32)))]
    np.testing.assert_array_equal(pair.confidence(1), expected[1])
    np.testing.assert_array_equal(pair.confidence(0), expected[0])
    assert pair.confidence(0)[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("labels", "confidence", "message"),
    [
        (np.zeros((2, 3, 3, 3)), np.zeros((2, 3, 3, 4)), r"\(2, 3, 3, 4\)"),
        (np.zeros((3, 3, 3)), np.zeros((3, 3, 3)), r"expected \(2, Z, Y, X\)"),
        (np.full((2, 3, 3, 3), 4), np.zeros((2, 3, 3, 3)), "expected 0 to 3 for 4 classes"),
        (np.full((2, 3, 3, 3), -1), np.zeros((2, 3, 3, 3)), "from -1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    labels: np.ndarray, confidence: np.ndarray, message: str
) -> None:
    with pytest.raises(FileProblem, match=message):
        PredictionPair.from_labels_and_confidence(
            labels.astype(np.int16), confidence, Geometry.from_spacing((1, 1, 1)), card()
        )


def test_save_and_load_give_every_level_back(tmp_path) -> None:
    pair, labels, levels = random_pair(3, shape=(8, 16, 16))
    assert len(np.unique(levels)) == 256
    pair.save(tmp_path / "p07")
    loaded = PredictionPair.load(tmp_path / "p07")
    np.testing.assert_array_equal(loaded.codes, pair.codes)
    assert loaded.card == pair.card
    assert loaded.pair_name == "heart"
    assert loaded.geometry.same_grid(pair.geometry)
    # What another program sees: labels, and confidence between 0 and 1.
    seen = read_volume(tmp_path / "p07" / "reference_confidence.nii.gz").data
    np.testing.assert_allclose(seen, LEVEL_CONFIDENCE[levels[1]], atol=1e-5)
    seen = read_labels(tmp_path / "p07" / "reference_label.nii.gz").data
    np.testing.assert_array_equal(seen, labels[1])


def test_saving_again_replaces_the_folder_as_a_whole(tmp_path) -> None:
    first, *_ = random_pair(1)
    second, *_ = random_pair(2)
    first.save(tmp_path / "p07")
    second.save(tmp_path / "p07")
    np.testing.assert_array_equal(PredictionPair.load(tmp_path / "p07").codes, second.codes)
    assert [path.name for path in tmp_path.iterdir()] == ["p07"]


def test_geometry_of_a_flipped_oblique_file_survives(tmp_path) -> None:
    turned = np.array([[-0.8, 0.1, 0, 10], [0.1, 0.8, 0, -5], [0, 0, -3, 40], [0, 0, 0, 1]])
    geometry = Geometry.from_file(turned, SHAPE[::-1])
    pair, *_ = random_pair(4, shape=geometry.shape)
    moved = PredictionPair(pair.codes, geometry, pair.card)
    moved.save(tmp_path / "p")
    loaded = PredictionPair.load(tmp_path / "p")
    np.testing.assert_array_equal(loaded.codes, pair.codes)
    np.testing.assert_allclose(loaded.geometry.affine, geometry.affine, atol=1e-5)


def test_broken_predictions_say_what_to_do(tmp_path) -> None:
    pair, *_ = random_pair()
    folder = pair.save(tmp_path / "p")
    other = Geometry.from_spacing((1, 1, 1), (2, 2, 2))
    write_labels(folder / "reference_label.nii.gz", np.zeros((2, 2, 2), np.uint8), other)
    with pytest.raises(FileProblem, match=r"do not fit together.* Predict again"):
        PredictionPair.load(folder)
    content = json.loads((folder / "prediction.json").read_text())
    (folder / "prediction.json").write_text(json.dumps({**content, "format_version": 9}))
    with pytest.raises(FileProblem, match="Predict again"):
        read_prediction_card(folder)
    (folder / "prediction.json").write_text("{")
    with pytest.raises(FileProblem, match="Predict again"):
        read_prediction_card(folder)
    with pytest.raises(FileProblem, match="Predict again"):
        PredictionPair.load(tmp_path / "nothing")
