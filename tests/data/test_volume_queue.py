"""The queue: what is known at once, what is made when asked for, and what follows for quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.project import Project
from napari_metassl.data.sites import SiteIndex
from napari_metassl.data.volume_figures import VolumeFigures
from napari_metassl.data.volume_io import write_labels, write_volume
from napari_metassl.data.volume_queue import (
    QueueEntry,
    VolumeQueue,
    VolumeStatus,
    complete_entry,
    listed,
    read_entry,
)

SHAPE = (4, 20, 20)
GEOMETRY = Geometry.from_spacing((2.0, 1.0, 1.0), SHAPE)


def predict(pair: str = "abc") -> PredictionPair:
    """Two places where the networks differ, and one where both contradict the label."""
    labels = np.zeros((2, *SHAPE), np.uint8)
    labels[:, 0:4, 5:11, 5:11] = 1
    labels[0, 0:3, 13:18, 13:18] = 1
    labels[1, 0:2, 0:4, 14:20] = 1
    card = PredictionCard(pair_name="p", classes=2, pair_sha256=pair)
    return PredictionPair.from_labels_and_confidence(
        labels, np.full(labels.shape, 0.98, np.float32), GEOMETRY, card
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name in ("v0", "v1"):
        write_volume(tmp_path / "images" / f"{name}.nii.gz", np.zeros(SHAPE, np.float32), GEOMETRY)
    write_labels(tmp_path / "labels" / "v0.nii.gz", np.zeros(SHAPE, np.uint8), GEOMETRY)
    return Project.create(
        tmp_path, tmp_path / "images", labels=tmp_path / "labels", class_names=["background", "one"]
    )


def entry_of(project: Project, name: str) -> QueueEntry:
    return complete_entry(project, read_entry(project, name, None))


def test_status_follows_the_work(project: Project) -> None:
    assert list(listed(project).entries) == ["v0", "v1"]
    assert read_entry(project, "v0", None).status is VolumeStatus.UNPREDICTED
    assert read_entry(project, "v0", None).is_complete
    prediction = predict()
    prediction.save(project.prediction_folder("v0"))
    at_once = read_entry(project, "v0", None)
    assert at_once.status is VolumeStatus.OUTDATED and not at_once.is_complete
    assert complete_entry(project, at_once).figures is not None
    assert read_entry(project, "v0", None).is_complete  # it was kept

    sites = SiteIndex.from_prediction(prediction)
    assert len(sites) == 2
    corrections = project.corrections("v0")
    assert read_entry(project, "v0", None).edited is None  # opened, not edited
    labels = corrections.labels.reshape(-1)
    labels[sites.site(0).voxels] = 1
    corrections.record("take", predicted=prediction.merged())
    assert not read_entry(project, "v0", None).is_complete
    half = entry_of(project, "v0")
    assert half.status is VolumeStatus.IN_REVIEW and half.edited is not None
    assert half.progress is not None and (half.progress.done, half.progress.sites) == (1, 2)
    labels[sites.site(1).voxels] = 255
    corrections.record("take", predicted=prediction.merged())
    done = entry_of(project, "v0")
    assert done.status is VolumeStatus.REVIEWED
    assert read_entry(project, "v0", None).progress == done.progress  # it was kept
    corrections.undo_last()
    corrections.undo_last()
    assert entry_of(project, "v0").status is VolumeStatus.OUTDATED  # all was taken back
    project.close()


def test_a_label_error_is_settled_when_all_of_it_was_seen(project: Project) -> None:
    prediction = predict()
    prediction.save(project.prediction_folder("v0"))
    (error,) = entry_of(project, "v0").figures.label_errors  # type: ignore[union-attr]
    assert (error.labeled, error.predicted) == (0, 1)
    corrections = project.corrections("v0")
    corrections.labels[0:3, 5:11, 5:11] = 255
    corrections.record("paint")
    assert entry_of(project, "v0").progress.settled == ()  # type: ignore[union-attr]
    corrections.labels[3, 5:11, 5:11] = 255
    corrections.record("paint")
    assert entry_of(project, "v0").progress.settled == (0,)  # type: ignore[union-attr]
    project.close()


def test_damage_is_a_sentence_and_stops_nothing(project: Project) -> None:
    predict().save(project.prediction_folder("v1"))
    (project.prediction_folder("v1") / "reference_label.nii.gz").write_bytes(b"broken")
    entry = entry_of(project, "v1")
    assert entry.problem and "\n" not in entry.problem and entry.is_complete
    (project.prediction_folder("v1") / "prediction.json").write_text("{")
    assert read_entry(project, "v1", None).status is VolumeStatus.DAMAGED


def made_up_queue(*dice: float) -> VolumeQueue:
    """Validation volumes of these Dice, each 0.1 below what is expected, and an unlabeled one."""
    entries = {}
    for n, value in enumerate(dice):
        figures = VolumeFigures(
            prediction="", pair_sha256="p", expected_dice=value + 0.1, dice=(value,)
        )
        entries[f"v{n}"] = QueueEntry(f"v{n}", "validation", VolumeStatus.PREDICTED, figures)
    figures = VolumeFigures(prediction="", pair_sha256="p", expected_dice=0.75)
    entries["u"] = QueueEntry("u", "unlabeled", VolumeStatus.PREDICTED, figures)
    return VolumeQueue(entries)


def test_quality_is_measured_predicted_or_a_rank_only() -> None:
    queue = made_up_queue(0.7, 0.8)
    unlabeled = queue.quality(queue.entries["u"])
    assert unlabeled.dice == pytest.approx(0.65) and unlabeled.error == pytest.approx(0.0)
    measured = queue.quality(queue.entries["v1"])
    assert measured.dice == 0.8 and measured.error is None
    alone = made_up_queue(0.7)
    rank_only = alone.quality(alone.entries["u"])
    assert rank_only.dice is None and rank_only.order == 0.75
    unknown = QueueEntry("x", "unlabeled", VolumeStatus.UNPREDICTED)
    assert queue.quality(unknown).order is None
    further = queue.with_entries(unknown)
    assert "x" in further.entries and "x" not in queue.entries
