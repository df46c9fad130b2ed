"""The queue of volumes: worst first, sorted and filtered, filled as predictions come, walked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_project import add_pair, make_prediction, set_status
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from window_driver import Window, click, wait_until

from napari_metassl.data.prediction import PredictionPair
from napari_metassl.data.project import Project
from napari_metassl.data.volume_figures import FIGURES_FILE
from napari_metassl.data.volume_io import read_labels, write_labels
from napari_metassl.jobs.job import JobStatus
from napari_metassl.widgets.label_error_view import NAME as LABEL_ERROR
from napari_metassl.widgets.volume_model import DIFFER, NAME, QUALITY, STATUS

SHIFT = Qt.KeyboardModifier.ShiftModifier


def worse_prediction() -> PredictionPair:
    """Like the made-up one, but network B finds no atrium."""
    made = make_prediction()
    labels = np.stack([made.label(0), made.label(1)])
    labels[1][labels[1] == 1] = 0
    sure = np.stack([made.confidence(0), made.confidence(1)])
    return PredictionPair.from_labels_and_confidence(labels, sure, made.geometry, made.card)


def queue_page(window: Window) -> Any:
    window.session.tab = "project"
    QTest.qWait(20)
    return window.widget.project_panel.volumes


def column(card: Any, which: int) -> list[str]:
    listed = card.table.volumes
    return [listed.index(row, which).data() for row in range(listed.rowCount())]


def known(window: Window) -> bool:
    entries = window.session.queue.entries.values()
    return (
        bool(entries)
        and all(entry.is_complete for entry in entries)
        and any(entry.figures is not None for entry in entries)
    )


def click_header(table: Any, section: int) -> None:
    header = table.horizontalHeader()
    middle = header.sectionViewportPosition(section) + header.sectionSize(section) // 3
    QTest.mouseClick(
        header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(middle, header.height() // 2)
    )


def test_worst_first_sorted_by_header_and_filtered(window: Window, project: Project) -> None:
    worse_prediction().save(project.prediction_folder("p4"))
    window.open(project.folder)
    card = queue_page(window)
    wait_until(lambda: known(window))
    assert column(card, NAME)[:2] == ["p4", "p3"]  # the worse one, then what is not predicted
    assert column(card, QUALITY)[:3] == ["rank 1", "rank 2", ""]
    assert "rank only" in card.about.text()
    shares = [float(text.rstrip(" %")) for text in column(card, DIFFER)[:2]]
    assert shares[0] > shares[1] > 0
    assert window.session.order == tuple(column(card, NAME))
    names = window.widget.volume_bar.names
    assert [names.itemText(n) for n in range(names.count())] == column(card, NAME)

    click_header(card.table, QUALITY)  # the other way round; what is unknown stays last
    assert column(card, NAME)[:2] == ["p3", "p4"]
    click_header(card.table, NAME)
    assert column(card, NAME) == [f"p{n}" for n in range(6)]
    click_header(card.table, QUALITY)

    QTest.keyClicks(card.text, "5")
    assert column(card, NAME) == ["p5"] and window.session.order == ("p5",)
    assert window.widget.volume_bar.place.text() == "– / 1"
    card.text.clear()
    card.choice.setCurrentText("Labeled")
    assert sorted(column(card, NAME)) == ["p0", "p1"]
    card.choice.setCurrentText("Validation")
    assert column(card, NAME) == ["p2"]
    card.choice.setCurrentText("All")


def test_figures_are_kept_and_read_again(
    window: Window, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse_prediction().save(project.prediction_folder("p4"))
    window.open(project.folder)
    assert window.session.review.name == "p3"
    wait_until(lambda: known(window))
    kept = project.prediction_folder("p3") / FIGURES_FILE
    first = window.session.queue.entries["p3"].figures
    assert json.loads(kept.read_text())["discrepant_share"] == pytest.approx(first.discrepant_share)
    monkeypatch.setattr(
        "napari_metassl.data.volume_queue.keep_figures", lambda *_: pytest.fail("made again")
    )
    window.session.set_project(Project.open(project.folder))
    window.wait()
    wait_until(lambda: known(window))
    assert window.session.queue.entries["p3"].figures == first
    assert window.session.review.name == "p4"  # it opens at the worst one now that it is known


def test_quality_is_a_dice_once_validation_volumes_tell_how(
    window: Window, project: Project
) -> None:
    content = json.loads((project.folder / "project.json").read_text())
    content["volumes"][1]["role"] = "validation"  # p1 beside p2
    (project.folder / "project.json").write_text(json.dumps(content))
    add_pair(project, "first")
    again = Project.open(project.folder)
    again.set_current_pair("first")
    fingerprint = again.pairs()[0][1].fingerprint
    for name in ("p1", "p2", "p3"):
        made = make_prediction()
        card = made.card.model_copy(update={"pair_sha256": fingerprint})
        PredictionPair(made.codes, made.geometry, card).save(project.prediction_folder(name))
    window.open(project.folder)
    card = queue_page(window)
    wait_until(lambda: known(window))
    quality = dict(zip(column(card, NAME), column(card, QUALITY), strict=True))
    measured = window.session.queue.entries["p2"].figures.mean_dice
    assert 0.5 < measured < 1
    assert quality["p2"] == f"{measured:.3f}" == quality["p1"]
    assert quality["p3"] == f"≈ {measured:.2f}"  # the very same prediction, without a label
    assert "2 validation volumes" in card.about.text()
    states = dict(zip(column(card, NAME), column(card, STATUS), strict=True))
    assert states["p3"] == "predicted" and states["p4"] == "older pair"


def test_the_column_fills_volume_by_volume(window: Window, project: Project) -> None:
    add_pair(project, "first")
    project.set_current_pair("first")
    window.open(project.folder)
    card = queue_page(window)
    wait_until(lambda: known(window))
    click(window.widget.project_panel.prediction.all)
    (job,) = window.executor.jobs
    set_status(job, JobStatus.RUNNING)
    assert window.session.queue.entries["p5"].figures is None
    for name in ("p5", "p0"):
        worse_prediction().save(project.prediction_folder(name))
        job.append_progress({"message": f"Predicting {name}", "fraction": 0.5, "done": [name]})
        wait_until(lambda name=name: window.session.queue.entries[name].figures is not None)
        assert name in column(card, NAME)[:3]  # it takes its place while the job goes on
        assert not window.session.prediction_job.status.is_over
    set_status(job, JobStatus.STOPPED, message="Stopped.")
    wait_until(lambda: window.session.prediction_job.status.is_over)


def test_next_volume_by_key_passes_over_reviewed_ones(window: Window, project: Project) -> None:
    for name in ("p4", "p5"):
        worse_prediction().save(project.prediction_folder(name))
    window.open(project.folder, "p4")
    wait_until(lambda: known(window))
    assert window.session.order[:3] == ("p4", "p5", "p3")
    window.session.go_on = True
    window.key(Qt.Key.Key_N)
    for _ in window.session.review.ranked():
        window.key(Qt.Key.Key_W)
    card = queue_page(window)
    wait_until(lambda: window.session.queue.entries["p4"].status == "reviewed")
    assert card.summary.text() == "1 of 6 reviewed"
    window.key(Qt.Key.Key_N, SHIFT)
    window.wait()
    assert window.session.review.name == "p5"
    window.key(Qt.Key.Key_J, SHIFT)
    window.wait()
    assert window.session.review.name == "p4"
    for name in ("p5", "p3", "p0", "p1", "p5"):  # round, but not to p4, nor to p2: validation
        window.key(Qt.Key.Key_N, SHIFT)
        window.wait()
        assert window.session.review.name == name
    card.choice.setCurrentText("Validation")
    window.key(Qt.Key.Key_N, SHIFT)
    window.wait()
    assert window.session.review.name == "p2"
    card.choice.setCurrentText("Reviewed")
    assert column(card, NAME) == ["p4"]
    card.choice.setCurrentText("To review")
    assert "p4" not in column(card, NAME) and "p3" in column(card, NAME)
    card.choice.setCurrentText("All")


def spoil_label(project: Project, name: str, k: int) -> None:
    """A label that lacks a class, and a prediction that is sure of it."""
    make_prediction().save(project.prediction_folder(name))
    path = project.labels_path(name)
    assert path is not None
    labels = read_labels(path)
    labels.data[labels.data == k] = 0
    write_labels(path, labels.data, labels.geometry)


def test_label_errors_are_listed_gone_to_and_settled(window: Window, project: Project) -> None:
    spoil_label(project, "p0", 2)
    spoil_label(project, "p2", 1)  # for validation: a larger place, but after those trained on
    window.open(project.folder, "p3")
    card = queue_page(window)
    wait_until(lambda: known(window))
    click(card.errors_button)
    tree = card.label_errors.tree
    first = tree.topLevelItem(0)
    assert first.text(0) == "p0" and first.text(1) == "background → ventricle"
    lines = [tree.topLevelItem(n) for n in range(tree.topLevelItemCount())]
    volumes = [line.text(0) for line in lines]
    assert volumes == sorted(volumes) and set(volumes) == {"p0", "p2"}  # labeled, validation
    assert float(lines[0].text(2)) < max(float(line.text(2)) for line in lines)
    sizes = [float(line.text(2)) for line in lines if line.text(0) == "p0"]
    assert sizes == sorted(sizes, reverse=True)
    QTest.mouseClick(
        tree.viewport(), Qt.MouseButton.LeftButton, pos=tree.visualItemRect(first).center()
    )
    window.wait()
    assert window.session.review.name == "p0"
    error = window.session.label_error
    assert error is not None and error.ml == pytest.approx(sizes[0], abs=0.01)
    assert window.viewer.dims.current_step[0] == error.center[0]
    outline = window.viewer.layers[LABEL_ERROR]
    assert outline.visible and outline.data.any()
    around = np.asarray(outline.translate) / outline.scale  # beside the voxels, not on them
    drawn = np.argwhere(outline.data) + np.round(around).astype(int)
    flat = np.ravel_multi_index(tuple(drawn.T), window.session.review.shape)
    assert not np.isin(flat, error.voxels).any()
    window.session.site = 0
    assert not outline.visible and window.session.label_error is None
    window.session.label_error = error
    assert outline.visible and window.session.site is None

    window.session.go_on = False
    click(card.label_errors.networks_right)
    assert (window.labels.reshape(-1)[error.voxels] == 2).all()
    wait_until(lambda: tree.topLevelItem(0).text(3) == "✓ done")
    window.key(Qt.Key.Key_U)
    assert not window.labels.any()
    wait_until(lambda: tree.topLevelItem(0).text(3) == "open")
    click(card.label_errors.label_right)
    assert (window.labels.reshape(-1)[error.voxels] == 255).all()
    click(card.errors_button)


def test_without_predicted_labels_the_list_says_what_to_do(
    window: Window, project: Project, tmp_path: Path
) -> None:
    window.open(project.folder)
    card = queue_page(window)
    click(card.errors_button)
    assert "Predict the labeled volumes" in card.label_errors.about.text()
    assert not card.label_errors.tree.isVisible()
    assert not card.label_errors.networks_right.isVisible()
    click(card.errors_button)
    assert card.table.isVisible()
