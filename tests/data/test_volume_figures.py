"""Figures of a prediction: right, kept beside it, and made anew when it or the label changes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.project import Project
from napari_metassl.data.quality import calibrate
from napari_metassl.data.volume_figures import (
    FIGURES_FILE,
    expected_dice,
    keep_figures,
    make_figures,
    read_figures,
)
from napari_metassl.data.volume_io import write_labels, write_volume

SHAPE = (2, 10, 10)
GEOMETRY = Geometry.from_spacing((1.0, 1.0, 1.0), SHAPE)


def predict(shift: int = 2, sure: float = 0.99) -> PredictionPair:
    """A: 40 voxels of class 1; B: the same moved, so that 40 - 4 * shift are common."""
    labels = np.zeros((2, *SHAPE), np.uint8)
    labels[0, 0, 2:6, 0:10] = 1
    labels[1, 0, 2 + shift : 6 + shift, 0:10] = 1
    card = PredictionCard(pair_name="p", classes=3, pair_sha256="abc")
    return PredictionPair.from_labels_and_confidence(
        labels, np.full(labels.shape, sure, np.float32), GEOMETRY, card
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name in ("v0", "v1"):
        write_volume(tmp_path / "images" / f"{name}.nii.gz", np.zeros(SHAPE, np.float32), GEOMETRY)
    truth = np.zeros(SHAPE, np.uint8)
    truth[0, 2:6] = 1
    write_labels(tmp_path / "labels" / "v0.nii.gz", truth, GEOMETRY)
    return Project.create(
        tmp_path, tmp_path / "images", labels=tmp_path / "labels",
        class_names=["background", "one", "two"],
    )  # fmt: skip


def test_shares_and_dice_by_hand() -> None:
    truth = np.zeros(SHAPE, np.uint8)
    truth[0, 2:6] = 1
    figures = make_figures(predict(shift=2), truth, "file")
    assert figures.discrepant_share == pytest.approx(40 / 60)
    assert figures.agreement == (pytest.approx(2 * 20 / 80), None)  # class 2 is nowhere
    assert figures.mean_agreement == pytest.approx(0.5)
    assert figures.dice == (pytest.approx(1.0), None)  # A wins where both are equally sure
    assert figures.labels == "file" and figures.confidence is not None
    without = make_figures(predict(shift=2))
    assert without.dice == () and without.mean_dice is None and without.label_errors == ()


def test_expected_dice_follows_agreement_and_confidence() -> None:
    agreed = predict(shift=0, sure=1.0)
    assert expected_dice(agreed) == pytest.approx(1.0)
    p = 0.99
    level = float(predict(shift=0).confidence(0)[0, 0, 0])
    assert level == pytest.approx(p, abs=1e-3)
    expected = 2 * 40 * level / (40 + 40 * level + 160 * (1 - level))
    assert expected_dice(predict(shift=0)) == pytest.approx(expected, rel=1e-5)
    values = [expected_dice(predict(shift)) for shift in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    empty = predict()
    empty.codes[...] = PredictionPair.from_labels_and_confidence(
        np.zeros((2, *SHAPE), np.uint8), np.ones((2, *SHAPE), np.float32), GEOMETRY, empty.card
    ).codes
    assert expected_dice(empty) is None and make_figures(empty).discrepant_share is None


def test_kept_until_prediction_or_label_changes(project: Project, tmp_path: Path) -> None:
    assert keep_figures(project, "v0") is None and read_figures(project, "v0") is None
    predict().save(project.prediction_folder("v0"))
    assert read_figures(project, "v0") is None
    made = keep_figures(project, "v0")
    assert made is not None and read_figures(project, "v0") == made
    assert made.mean_dice == 1.0

    label = tmp_path / "labels" / "v0.nii.gz"
    os.utime(label, ns=(1, 1))
    assert read_figures(project, "v0") is None
    assert keep_figures(project, "v0") is not None

    kept = (project.prediction_folder("v0") / FIGURES_FILE).read_bytes()
    predict(shift=1).save(project.prediction_folder("v0"))  # takes the old figures along
    assert read_figures(project, "v0") is None
    (project.prediction_folder("v0") / FIGURES_FILE).write_bytes(kept)  # of the one before
    assert read_figures(project, "v0") is None
    (project.prediction_folder("v0") / FIGURES_FILE).write_text(json.dumps({"torn": 1}))
    assert read_figures(project, "v0") is None


def test_a_folder_that_cannot_be_written_still_gives_figures(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict().save(project.prediction_folder("v1"))

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert keep_figures(project, "v1") is not None
    assert not (project.prediction_folder("v1") / FIGURES_FILE).exists()


def test_calibration_claims_no_more_than_the_cases_carry() -> None:
    assert calibrate([]) is None and calibrate([(0.8, 0.7)]) is None
    two = calibrate([(0.80, 0.74), (0.90, 0.80)])
    assert two is not None and two.slope == 1 and two.volumes == 2
    assert two.estimate(0.7) == pytest.approx(0.7 - 0.08)
    assert two.error == pytest.approx(0.04)  # each told from the other
    line = calibrate([(x, 2 * x - 1) for x in (0.6, 0.7, 0.75, 0.8, 0.9)])
    assert line is not None and line.error == pytest.approx(0, abs=1e-9)
    assert line.estimate(0.85) == pytest.approx(0.7) and line.estimate(0.2) == 0.0
    upside_down = calibrate([(0.6, 0.9), (0.7, 0.8), (0.75, 0.75), (0.8, 0.7), (0.9, 0.6)])
    assert upside_down is not None and upside_down.slope == 0
    assert upside_down.estimate(0.1) == pytest.approx(0.75)
