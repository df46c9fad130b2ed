"""Opening and making projects: the dialogs, and the sample project."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_metassl.data.project_file import PROJECT_FILE
from napari_metassl.data.sample import sample_project
from napari_metassl.widgets.new_project_dialog import NewProjectDialog
from napari_metassl.widgets.recent_projects import remember_project, sample_project_folder
from napari_metassl.widgets.session import Notice, Session


class ProjectActions(QObject):
    """What the buttons of the project page do."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self._parent = parent

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

    def ask_and_import_pair(self) -> None:
        """Let a person copy a pair of networks into the project."""
        chosen = QFileDialog.getExistingDirectory(
            self._parent, "Choose the folder of a model pair (it holds card.json)"
        )
        if chosen:
            self.import_pair(Path(chosen))

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
