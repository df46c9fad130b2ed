"""Handing volumes on from the window: the dialog as a person fills it in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from window_driver import Window, click, wait_until

from napari_metassl.data.corrections import Provenance
from napari_metassl.data.export_request import ExportFormat
from napari_metassl.data.project import Project
from napari_metassl.data.volume_io import read_labels
from napari_metassl.widgets import export_dialog, project_actions
from napari_metassl.widgets.export_dialog import ExportDialog


def in_dialog(window: Window, act: Callable[[ExportDialog], None]) -> None:
    """Press "Export ..." and do something in the dialog, until it is closed."""
    failed: list[BaseException] = []

    def run() -> None:
        dialog = QApplication.activeModalWidget()
        try:
            assert isinstance(dialog, ExportDialog)
            act(dialog)
        except BaseException as problem:
            failed.append(problem)
            dialog.export_button.setEnabled(True)
            dialog.reject()

    window.session.tab = "project"
    QTest.qWait(20)
    QTimer.singleShot(50, run)
    click(window.widget.project_panel.head.export)
    if failed:
        raise failed[0]


def choose(box: Any, text: str) -> None:
    """Choose in a list by typing what it says."""
    box.setFocus()
    QTest.keyClicks(box, text)
    assert text in box.currentText()


def fill_folder(dialog: ExportDialog, folder: Path) -> None:
    dialog.folder.selectAll()
    QTest.keyClicks(dialog.folder, str(folder))


def test_the_volume_on_display_is_exported_with_what_was_just_painted(
    window: Window, project: Project, tmp_path: Path
) -> None:
    window.open(project.folder)
    window.key(Qt.Key.Key_N)
    window.key(Qt.Key.Key_W)

    def act(dialog: ExportDialog) -> None:
        assert dialog.which.currentText().startswith("p3")
        fill_folder(dialog, tmp_path / "out")
        choose(dialog.format, "3D Slicer")
        assert "3D Slicer" in dialog.hint.text() and not dialog.channels.isVisible()
        click(dialog.export_button)

    in_dialog(window, act)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "p3.seg.nrrd", "p3_provenance.seg.nrrd", "p3_report.json", "p3_report.html",
    }  # fmt: skip
    written = read_labels(tmp_path / "out" / "p3_provenance.seg.nrrd").data
    corrected = (window.session.review.corrections.provenance == Provenance.CORRECTED).sum()
    assert (written == Provenance.CORRECTED).sum() == corrected > 0
    report = json.loads((tmp_path / "out" / "p3_report.json").read_text())
    assert report["edit_count"] == 1 and report["edits"][0]["action"] == "take B's label"
    assert "4 files" in window.session.notice.text and window.session.notice.tone == "good"
    window.key(Qt.Key.Key_Q)  # the window goes on


def test_the_folder_can_be_opened(
    window: Window, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(
        project_actions.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile())
    )
    window.open(project.folder, "p0")

    def act(dialog: ExportDialog) -> None:
        fill_folder(dialog, tmp_path / "out")
        choose(dialog.which, "All")
        click(dialog.provenance)
        click(dialog.report)
        click(dialog.export_button)

    in_dialog(window, act)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"p{n}.nii.gz" for n in range(5)
    }
    assert "1 left out" in window.session.notice.text  # p5 has nothing
    click(window.widget.message.offer)
    assert opened == [str(tmp_path / "out")]


def test_what_goes_wrong_is_said_in_the_dialog_and_can_be_mended(
    window: Window, project: Project, tmp_path: Path
) -> None:
    window.open(project.folder)
    (tmp_path / "file").write_text("in the way")
    taken = tmp_path / "out" / "p3.nii.gz"
    taken.parent.mkdir()
    taken.write_bytes(b"somebody's")
    said: list[str] = []

    def press_and_read(dialog: ExportDialog) -> str:
        click(dialog.export_button)
        wait_until(dialog.export_button.isEnabled)
        return str(dialog.problem.text())

    def act(dialog: ExportDialog) -> None:
        for folder in (tmp_path / "file" / "in", tmp_path / "out"):
            fill_folder(dialog, folder)
            said.append(press_and_read(dialog))
        assert taken.read_bytes() == b"somebody's"
        click(dialog.replace)
        click(dialog.export_button)

    in_dialog(window, act)
    assert "choose another folder" in said[0] and "would be replaced" in said[1]
    assert taken.read_bytes() != b"somebody's"


def test_a_long_export_can_be_stopped(
    window: Window, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.open(project.folder)
    seen: list[str] = []

    def endless(_project: Project, _request: Any, look: Callable[[str, float], None]) -> None:
        while True:
            look("p1", 0.4)
            time.sleep(0.005)

    monkeypatch.setattr(export_dialog, "export", endless)

    def act(dialog: ExportDialog) -> None:
        click(dialog.export_button)
        wait_until(lambda: dialog.bar.value() == 400)
        seen.append(dialog.state.text())
        assert dialog.cancel.text() == "Stop" and not dialog.form.isEnabled()
        click(dialog.cancel)
        wait_until(dialog.export_button.isEnabled)
        seen.append(dialog.problem.text())
        click(dialog.cancel)

    in_dialog(window, act)
    assert "p1" in seen[0] and "Stopped" in seen[1]


def test_nnunet_asks_for_what_it_needs(window: Window, project: Project, tmp_path: Path) -> None:
    window.open(project.folder)

    def act(dialog: ExportDialog) -> None:
        choose(dialog.format, "nnU-Net")
        assert dialog.which.currentText().startswith("All")
        assert dialog.channels.isVisible() and not dialog.report.isVisible()
        QTest.keyClicks(dialog.channels, "MR, ")
        fill_folder(dialog, tmp_path / "raw")
        assert dialog.request().format is ExportFormat.NNUNET
        click(dialog.export_button)

    in_dialog(window, act)
    made = tmp_path / "raw" / "Dataset501_Hearts"
    said = json.loads((made / "dataset.json").read_text())
    assert said["channel_names"] == {"0": "MR"} and said["numTraining"] == 2
    assert len(list((made / "imagesTs").iterdir())) == 4  # p2 to p5
