"""The project page: making and opening projects, pairs, prediction as a job."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from made_up_project import add_pair, make_prediction, set_status
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from window_driver import Window, click, wait_until

from napari_metassl.data.project import Project
from napari_metassl.data.volume_io import list_volumes
from napari_metassl.jobs.job import Job, JobStatus
from napari_metassl.widgets import new_project_dialog, project_actions
from napari_metassl.widgets.new_project_dialog import LABELED, VALIDATION, NewProjectDialog
from napari_metassl.widgets.recent_projects import recent_projects
from napari_metassl.widgets.volume_model import EDITED, NAME, ROLE, STATUS


def rows(window: Window) -> dict[str, tuple[str, str, str]]:
    """Role, status and time of the last edit of the volumes, in the order they are listed."""
    listed = window.widget.project_panel.volumes.table.volumes
    lines = [[listed.index(n, c).data() for c in range(6)] for n in range(listed.rowCount())]
    return {line[NAME]: (line[ROLE], line[STATUS], line[EDITED]) for line in lines}


def show_page(window: Window) -> Any:
    window.session.tab = "project"
    QTest.qWait(20)
    return window.widget.project_panel


def test_volumes_with_role_and_status(window: Window, project: Project) -> None:
    other = project.corrections("p5")
    other.labels[2, 3, 4:9] = 1
    other.record("paint")
    other.close()
    window.open(project.folder)
    panel = show_page(window)
    assert "hearts" in panel.head.name.text()
    wait_until(lambda: rows(window)["p3"][1] == "older pair")  # of a pair that is not here
    assert rows(window)["p0"] == ("labeled", "unpredicted", "")
    wait_until(lambda: rows(window)["p5"][1] == "in review")
    assert rows(window)["p5"][2]

    table = panel.volumes.table
    index = table.volumes.index(list(rows(window)).index("p4"), NAME)
    QTest.mouseClick(
        table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center()
    )
    window.wait()
    assert window.session.review.name == "p4"
    window.viewer.layers["corrections"].data_setitem((np.array([1, 1]),) * 3, 2)
    wait_until(lambda: rows(window)["p4"][1] == "in review")
    window.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    wait_until(lambda: rows(window)["p4"][1] == "older pair")  # all was taken back


def test_new_project_by_ticking_and_by_lists(
    qtbot: Any, project: Project, tmp_path: Path, monkeypatch: Any
) -> None:
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    listed: list[Path] = []
    monkeypatch.setattr(
        new_project_dialog, "list_volumes", lambda f: listed.append(f) or list_volumes(f)
    )
    QTest.keyClicks(dialog.images, str(tmp_path / "images"))
    wait_until(lambda: dialog.table.rowCount() == 6)
    QTest.keyClicks(dialog.labels, str(tmp_path / "labels"))
    wait_until(lambda: "3 labeled" in dialog.summary.text())
    assert set(listed) == {tmp_path / "images", tmp_path / "labels"}  # not "/" on the way there
    click(dialog.create)
    assert "Choose" in dialog.problem.text() and dialog.made is None

    names = tmp_path / "validation.txt"
    names.write_text("p2.nii.gz\n")
    dialog.tick_from_list(VALIDATION, names)
    assert dialog.table.item(2, LABELED).checkState() == Qt.CheckState.Unchecked
    assert "2 labeled to train on, 1 to measure on, 3 unlabeled" in dialog.summary.text()
    box = dialog.table.visualItemRect(dialog.table.item(1, LABELED))
    QTest.mouseClick(
        dialog.table.viewport(), Qt.MouseButton.LeftButton, pos=box.topLeft() + QPoint(12, 14)
    )
    assert dialog.table.item(1, LABELED).checkState() == Qt.CheckState.Unchecked
    QTest.keyClicks(dialog.classes, "background, left, right")
    QTest.keyClicks(dialog.folder, str(project.folder))
    click(dialog.create)
    assert "already holds a project" in dialog.problem.text()
    dialog.folder.setText(str(tmp_path / "made"))
    click(dialog.create)
    assert dialog.made is not None
    made = Project.open(tmp_path / "made")
    assert [v.name for v in made.volumes("labeled")] == ["p0"]
    assert [v.name for v in made.volumes("validation")] == ["p2"]
    assert made.class_names == ("background", "left", "right")


def test_opening_is_remembered(window: Window, project: Project) -> None:
    window.open(project.folder)
    assert recent_projects() == [project.folder]
    welcome = window.widget.project_panel.welcome
    welcome.list_recent()
    shutil.move(project.folder, project.folder.with_name("moved"))
    assert recent_projects() == []


def test_the_sample_project_is_made_once(
    window: Window, project: Project, monkeypatch: Any, tmp_path: Path
) -> None:
    made: list[Path] = []

    def copy(folder: Path) -> Project:
        made.append(folder)
        shutil.copytree(project.folder, folder)
        return Project.open(folder)

    monkeypatch.setattr(project_actions, "sample_project_folder", lambda: tmp_path / "sample")
    monkeypatch.setattr(project_actions, "sample_project", copy)
    welcome = window.widget.project_panel.welcome
    welcome.sample.click()
    welcome.sample.click()
    assert made == [tmp_path / "sample"]
    assert window.session.project.folder == tmp_path / "sample"
    window.wait()


def test_choosing_and_importing_pairs(window: Window, project: Project, tmp_path: Path) -> None:
    window.open(project.folder)
    panel = show_page(window)
    assert not panel.prediction.one.isEnabled() and "Import" in panel.pair.about.text()
    panel.actions_.import_pair(tmp_path)
    assert "not a model pair" in window.session.notice.text
    add_pair(project, "one")
    outside = tmp_path / "two"
    shutil.move(project.pairs_folder / "one", outside)
    panel.actions_.import_pair(outside)
    assert Project.open(project.folder).file.current_pair == "two"
    assert panel.prediction.one.isEnabled() and "BasicUNet" in panel.pair.about.text()
    add_pair(project, "three")
    window.session.volumes_changed.emit()
    panel.pair.choice.setCurrentText("three")
    panel.pair.choice.activated.emit(panel.pair.choice.currentIndex())
    assert Project.open(project.folder).file.current_pair == "three"


def test_prediction_is_a_job_with_progress_and_cancel(window: Window, project: Project) -> None:
    add_pair(project, "first")
    project.set_current_pair("first")
    window.open(project.folder, "p5")
    panel = show_page(window).prediction
    click(panel.one)
    (job,) = window.executor.jobs
    assert job.spec()["volumes"] == ["p5"] and job.spec()["pair"].endswith("pairs/first")
    assert panel.bar.isVisible() and not panel.one.isEnabled()
    set_status(job, JobStatus.RUNNING)
    job.append_progress({"message": "Predicting p5", "fraction": 0.4, "step": 0, "steps": 1})
    wait_until(lambda: panel.bar.value() == 400)
    assert "Predicting p5" in panel.state.text()
    click(panel.cancel)
    assert job.stop_requested()

    make_prediction().save(project.prediction_folder("p5"))
    job.append_progress({"message": "Predicting p5", "fraction": 1.0, "done": ["p5"]})
    wait_until(lambda: window.session.review.prediction is not None)  # shown as it comes
    assert ("regions" in window.viewer.layers and "sites") or window.session.review.sites
    set_status(job, JobStatus.SUCCEEDED, message="Predicted 1 volume.")
    wait_until(lambda: not panel.bar.isVisible())
    assert "Predicted 1" in window.session.notice.text
    assert not window.widget.watcher.timer.isActive()


def test_a_failed_prediction_is_one_sentence(window: Window, project: Project) -> None:
    add_pair(project, "first")
    project.set_current_pair("first")
    window.open(project.folder)
    panel = show_page(window).prediction
    click(panel.all)
    (job,) = window.executor.jobs
    set_status(job, JobStatus.FAILED, error="The memory ran out.\nEnd of its log:\nKilled")
    wait_until(lambda: window.session.notice is not None)
    assert window.session.notice.text == "The memory ran out."
    assert panel.one.isEnabled()


def test_a_running_prediction_is_found_again(window: Window, project: Project) -> None:
    add_pair(project, "first")
    project.set_current_pair("first")
    job = Job.create(project.jobs_folder, {"kind": "predict"}, kind="predict")
    set_status(job, JobStatus.RUNNING)
    window.open(project.folder)
    assert window.session.prediction_job.id == job.id
    assert window.widget.watcher.timer.isActive()
    set_status(job, JobStatus.STOPPED, message="Stopped: 1 of 3 volumes are predicted and kept.")
    wait_until(lambda: not window.widget.watcher.timer.isActive())
    assert "1 of 3" in window.session.notice.text
