"""A dialog that hands volumes on: which, in what format, where to; it exports in a thread."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_metassl.data.export import export
from napari_metassl.data.export_request import Exported, ExportFormat, ExportRequest, Untouched
from napari_metassl.data.project import Project
from napari_metassl.errors import Cancelled, MetaSSLError
from napari_metassl.widgets.components import label, row, set_tone
from napari_metassl.widgets.session import sentence_of

FORMATS = {
    ExportFormat.NII_GZ: "NIfTI, compressed (.nii.gz)",
    ExportFormat.NII: "NIfTI (.nii)",
    ExportFormat.SEG_NRRD: "3D Slicer segmentation (.seg.nrrd)",
    ExportFormat.NRRD: "NRRD (.nrrd)",
    ExportFormat.MHA: "MetaImage (.mha)",
    ExportFormat.NNUNET: "nnU-Net data set (a folder)",
}
HINTS = {
    ExportFormat.SEG_NRRD: "Opens in 3D Slicer with the names and colours of the classes.",
    ExportFormat.NNUNET: "Labeled and corrected volumes to train on, all others to predict; in a "
    "folder of its own.",
}
HINT_WIDTH = 400
UNTOUCHED = {
    Untouched.IGNORE: "get the ignore label",
    Untouched.PREDICTED: "keep the prediction",
}


class ExportDialog(QDialog):
    """Asks and exports; ``done`` is what was written once the dialog is accepted.

    Parameters
    ----------
    volume
        The volume on display, which is offered first; none: all volumes.
    """

    _progressed = Signal(str, float)
    _ended = Signal(object)

    def __init__(self, project: Project, volume: str | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export")
        self.resize(560, 0)
        # Files are read anew: a journal that is open in the window is not shared with a thread.
        self._project = Project(project.folder, project.file)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="metassl-export")
        self._stop = False
        self.exported: Exported | None = None
        self.folder = QLineEdit(str(project.exports_folder))
        self.which = QComboBox()
        if volume is not None:
            self.which.addItem(f"{volume}, as it is now", (volume,))
        self.which.addItem(f"All volumes of {project.name}", ())
        self.format = QComboBox()
        for form, text in FORMATS.items():
            self.format.addItem(text, form)
        self.provenance = QCheckBox("Provenance of every voxel, as a second volume")
        self.report = QCheckBox("Report of every volume, as JSON and as a page to print")
        self.replace = QCheckBox("Replace files that are there")
        self.channels = QLineEdit()
        self.channels.setPlaceholderText("names with commas; CT has nnU-Net's CT normalisation")
        self.untouched = QComboBox()
        for choice, text in UNTOUCHED.items():
            self.untouched.addItem(text, choice)
        for tick in (self.provenance, self.report):
            tick.setChecked(True)
        self._lay_out()
        self.format.currentIndexChanged.connect(self._on_format)
        self._progressed.connect(self._on_progress)
        self._ended.connect(self._on_ended)
        self._on_format()

    def request(self) -> ExportRequest:
        """Return what is asked for."""
        names = (part.strip() for part in self.channels.text().split(","))
        return ExportRequest(
            folder=Path(self.folder.text().strip()).expanduser(),
            format=self.format.currentData(),
            volumes=tuple(self.which.currentData()),
            provenance=self.provenance.isChecked(),
            report=self.report.isChecked(),
            replace=self.replace.isChecked(),
            untouched=self.untouched.currentData(),
            channels=tuple(name for name in names if name),
        )

    def accept(self) -> None:
        """Export in a thread; the dialog closes when that has ended well."""
        if not self.export_button.isEnabled():
            return  # it is running
        if not self.folder.text().strip():
            self._say("Choose the folder to write to.")
            return
        self._say("")
        self._stop = False
        self._set_running(True)
        future = self._pool.submit(export, self._project, self.request(), self._look)
        future.add_done_callback(self._ended.emit)

    def reject(self) -> None:
        """Stop before the next volume, or close."""
        if self.export_button.isEnabled():
            self.close_threads()
            super().reject()
        else:
            self._stop = True
            self.state.setText("Stopping after this volume …")

    def close_threads(self) -> None:
        """Stop what runs beside the window."""
        self._stop = True
        self._pool.shutdown(wait=True)

    def _look(self, name: str, share: float) -> None:
        """Tell how far it is; runs in the exporting thread."""
        if self._stop:
            raise Cancelled
        self._progressed.emit(name, share)

    def _on_progress(self, name: str, share: float) -> None:
        self.bar.setValue(round(1000 * share))
        if not self._stop:
            self.state.setText(f"Writing {name} …")

    def _on_ended(self, future: Future[Exported]) -> None:
        self._set_running(False)
        problem = future.exception()
        if problem is None:
            self.exported = future.result()
            self.close_threads()
            super().accept()
        elif isinstance(problem, Cancelled):
            self._say("Stopped; what was written before is whole.")
        elif isinstance(problem, MetaSSLError | OSError):
            self._say(sentence_of(problem))
        else:
            raise problem

    def _say(self, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.adjustSize()

    def _set_running(self, running: bool) -> None:
        self.form.setEnabled(not running)
        self.export_button.setEnabled(not running)
        self.bar.setVisible(running)
        self.state.setVisible(running)
        self.bar.setValue(0)
        self.cancel.setText("Stop" if running else "Cancel")

    def _on_format(self) -> None:
        form = self.format.currentData()
        for_nnunet = form is ExportFormat.NNUNET
        for field in (self.channels, self.untouched):
            self._rows.setRowVisible(field, for_nnunet)
        for field in (self.provenance, self.report, self.replace):
            self._rows.setRowVisible(field, not for_nnunet)
        if for_nnunet:
            self.which.setCurrentIndex(self.which.count() - 1)  # a data set is all of them
        self.hint.setText(HINTS.get(form, "Lies exactly where the image lies."))
        self.adjustSize()

    def _lay_out(self) -> None:
        browse = QPushButton("Browse …")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        self.hint = label("", "muted", wrap=True)
        self.hint.setMinimumWidth(HINT_WIDTH)  # or it would break after two words
        for box in (self.which, self.format, self.untouched):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.form = QWidget()
        self._rows = QFormLayout(self.form)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self._rows.addRow("Volumes", self.which)
        self._rows.addRow("Format", self.format)
        self._rows.addRow("", self.hint)
        self._rows.addRow("Folder", row(self.folder, browse))
        self._rows.addRow("Channels", self.channels)
        self._rows.addRow("Untouched voxels", self.untouched)
        for tick in (self.provenance, self.report, self.replace):
            self._rows.addRow("", tick)
        self.problem = label("", "bad", wrap=True)
        self.state = label("", "muted")
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        for part in (self.problem, self.state, self.bar):
            part.hide()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.cancel = buttons.button(QDialogButtonBox.StandardButton.Cancel)
        self.export_button = QPushButton("Export")
        self.export_button.setDefault(True)
        set_tone(self.export_button, "primary")
        buttons.addButton(self.export_button, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 14, 14, 14)
        layout.setSpacing(8)
        for part in (self.form, self.problem, self.state, self.bar, buttons):
            layout.addWidget(part)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder to write to", self.folder.text())
        if chosen:
            self.folder.setText(chosen)
