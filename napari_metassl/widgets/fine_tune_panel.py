"""The fine-tuning page: the form, the run with its curves, and the comparison at its end."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QComboBox, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from napari_metassl.jobs.job import JobSnapshot, JobStatus, list_jobs
from napari_metassl.widgets.comparison_view import ComparisonView
from napari_metassl.widgets.components import Card, PageScroll, button, label, page, row, set_tone
from napari_metassl.widgets.duration import time_left
from napari_metassl.widgets.fine_tune_form import FineTuneForm
from napari_metassl.widgets.job_watcher import TRAINING
from napari_metassl.widgets.loss_plot import LossPlot
from napari_metassl.widgets.session import Session
from napari_metassl.widgets.theme import Palette

STATUS_TONES = {
    JobStatus.FAILED: "bad",
    JobStatus.STOPPED: "warning",
}


class FineTunePanel(QWidget):
    """Form, run and comparison, one below the other."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.form = FineTuneForm(session)
        self.run = RunView(session)
        self.comparison = ComparisonView(session)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(PageScroll(page(self.form, self.comparison, self.run, stretch=2)))

    def use_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.run.plot.use_palette(palette)


class RunView(Card):
    """One training: how far it is, its curves, and the way to stop it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Run", parent)
        self.session = session
        self.choice = QComboBox()
        self.choice.setToolTip("Trainings of this project, the newest first")
        self.choice.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.choice.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.choice.activated.connect(self._choose)
        self.head.addWidget(self.choice)
        self.state = label("", "muted", wrap=True)
        self.body.addWidget(self.state)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.cancel = button("Cancel", self._cancel, tip="Stop at the next step; nothing is lost")
        self.cancel.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.body.addLayout(row(self.bar, self.cancel))
        self.plot = LossPlot()
        self.body.addWidget(self.plot, 1)
        session.events.training_id.connect(self._on_training_id)
        session.events.training_job.connect(self._on_job)
        session.training_records.connect(self._on_records)
        self._on_training_id()

    def _on_training_id(self) -> None:
        self.plot.reset()
        self.setVisible(self.session.training_id is not None)
        self._list_runs()

    def _list_runs(self) -> None:
        project = self.session.project
        jobs = [] if project is None else list_jobs(project.jobs_folder)
        with QSignalBlocker(self.choice):
            self.choice.clear()
            for job in reversed([job for job in jobs if job.kind in TRAINING]):
                name = str(job.spec().get("name", job.id))
                self.choice.addItem(f"{name}  ·  {job.state().created:%m-%d %H:%M}", job.id)
            self.choice.setCurrentIndex(self.choice.findData(self.session.training_id))
        self.choice.setVisible(self.choice.count() > 0)

    def _choose(self, index: int) -> None:
        self.session.training_id = self.choice.itemData(index)

    def _on_records(self, records: list[dict[str, Any]]) -> None:
        project = self.session.project
        self.plot.add(records, () if project is None else project.class_names)

    def _on_job(self, job: JobSnapshot | None) -> None:
        running = job is not None and not job.status.is_over
        self.bar.setVisible(running)
        self.cancel.setVisible(running)
        if job is None:
            return
        self.bar.setValue(round(1000 * job.fraction))
        self.state.setText(_state(job))
        self.state.setToolTip(job.error)
        set_tone(self.state, STATUS_TONES.get(job.status, "muted"))

    def _cancel(self) -> None:
        job = self.session.training_job
        if job is not None:
            self.session.cancel.emit(job.id)
            self.state.setText("Stopping at the next step …")


def _state(job: JobSnapshot) -> str:
    """One line on where the job stands."""
    if job.status is JobStatus.PENDING:
        return "Starting: loading the networks …"
    if job.status is JobStatus.RUNNING:
        steps = f"step {job.step:,} of {job.steps:,}" if job.steps else ""
        parts = [job.message or "Running", steps, time_left(job.seconds_left)]
        return "  ·  ".join(part for part in parts if part)
    if job.status is JobStatus.FAILED:
        return (job.error or "Failed.").splitlines()[0]
    if job.status is JobStatus.SUCCEEDED:
        return f"Finished after {job.steps:,} steps." if job.steps else "Finished."
    return job.message or str(job.status).capitalize()
