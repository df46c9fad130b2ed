"""Opening and making projects: the dialogs, and the sample project."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from qtpy.QtCore import QObject, QProcess, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_metassl.data.export_request import Exported
from napari_metassl.data.model_card import CARD_FILE
from napari_metassl.data.project_file import PROJECT_FILE
from napari_metassl.data.sample import sample_project
from napari_metassl.errors import PairProblem
from napari_metassl.widgets.export_dialog import ExportDialog
from napari_metassl.widgets.new_project_dialog import NewProjectDialog
from napari_metassl.widgets.recent_projects import remember_project, sample_project_folder
from napari_metassl.widgets.session import Notice, Session


class ProjectActions(QObject):
    """What the buttons of the project page do."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self._parent = parent
        self._importing: QProcess | None = None
        self._exported_to: Path | None = None
        session.offer_taken.connect(self._on_offer)

    def open_folder(self, folder: Path) -> None:
        """Open the project in ``folder``; the one at hand stays if that fails."""
        if self.session.open_project(folder) and self.session.project is not None:
            remember_project(self.session.project.folder)

    def ask_and_open(self) -> None:
        """Let a person choose a project's folder."""
        chosen = QFileDialog.getExistingDirectory(self._parent, "Open a project's folder")
        if chosen:
            self.open_folder(Path(chosen))

    def ask_and_make(self) -> None:
        """Let a person make a project of folders of images and labels."""
        dialog = NewProjectDialog(self._parent)
        if dialog.exec() and dialog.made is not None:
            self.session.set_project(dialog.made)
            remember_project(dialog.made.folder)

    def open_sample(self) -> None:
        """Open the sample project; make it first where there is none yet."""
        folder = sample_project_folder()
        with self.session.telling():
            if not (folder / PROJECT_FILE).is_file():
                sample_project(folder)
            self.open_folder(folder)

    def ask_and_export(self) -> None:
        """Let a person hand volumes on; what was painted until now is in it."""
        project = self.session.project
        if project is None:
            return
        dialog = ExportDialog(project, self.session.volume, self._parent)
        if dialog.exec() and dialog.exported is not None:
            self._tell_of(dialog.exported)
        dialog.deleteLater()

    def _tell_of(self, exported: Exported) -> None:
        count = len(exported.written)
        text = f"{count} file{'s' if count != 1 else ''} written to '{exported.folder}'."
        if exported.left_out:
            text += f" {len(exported.left_out)} left out: {exported.left_out[0]}"
        self._exported_to = exported.folder
        tone: Literal["good", "warning"] = "warning" if exported.left_out else "good"
        self.session.notice = Notice(text, tone, "Open folder", "exported")

    def _on_offer(self, what: str) -> None:
        if what == "exported" and self._exported_to is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._exported_to)))

    def ask_and_import_pair(self) -> None:
        """Let a person copy a pair of networks into the project."""
        chosen = QFileDialog.getExistingDirectory(
            self._parent, "Choose the folder of a model pair (it holds card.json) or a MONAI bundle"
        )
        if chosen and (Path(chosen) / CARD_FILE).is_file():
            self.import_pair(Path(chosen))
        elif chosen:
            self.import_networks(Path(chosen))

    def import_networks(self, source: Path) -> None:
        """Make a pair of a MONAI bundle, in a process of its own: the window has no torch."""
        project = self.session.project
        if project is None or self._importing is not None:
            return
        self.session.busy = f"Importing {source.name}"
        self._importing = QProcess(self)
        self._importing.finished.connect(self._on_imported)
        command = ["-m", "napari_metassl", "import", str(project.folder), str(source)]
        self._importing.start(sys.executable, command)

    def _on_imported(self, code: int) -> None:
        process, self._importing = self._importing, None
        self.session.busy = ""
        project = self.session.project
        if process is None or project is None:
            return
        said = process.readAllStandardOutput() if code == 0 else process.readAllStandardError()
        text = " ".join(bytes(said.data()).decode(errors="replace").split())
        with self.session.telling():
            if code:
                raise PairProblem(text or f"'{project.name}' got no pair: the import ended early.")
            if project.file.current_pair is None:
                project.set_current_pair(project.pairs()[-1][0].name)
            self.session.notice = Notice(text, "good", "Predict all volumes", "predict all")
        self.session.volumes_changed.emit()

    def import_pair(self, folder: Path) -> None:
        """Copy a pair into the project; it becomes the current one if there is none."""
        project = self.session.project
        if project is None:
            return
        with self.session.telling():
            name = project.add_pair(folder)
            if project.file.current_pair is None:
                project.set_current_pair(name)
            self.session.notice = Notice(
                f"Pair '{name}' is in the project.", "good", "Predict all volumes", "predict all"
            )
        self.session.volumes_changed.emit()
