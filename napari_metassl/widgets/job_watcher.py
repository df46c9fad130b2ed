"""Starts background jobs and looks after them: their folders are read, twice a second."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_metassl.errors import JobProblem
from napari_metassl.jobs.job import Job, JobSnapshot, JobStatus, list_jobs
from napari_metassl.jobs.local import LocalExecutor
from napari_metassl.jobs.specs import FineTuneSpec, PredictSpec
from napari_metassl.widgets.session import Notice, Session

LOOK_MS = 500
TRAINING = ("train", "fine-tune")


class JobWatcher(QObject):
    """Keeps ``prediction_job``, ``training_job`` and what belongs to them in the session."""

    def __init__(
        self, session: Session, executor: Any = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.executor = LocalExecutor() if executor is None else executor
        self.prediction: Job | None = None
        self.training: Job | None = None
        self._prediction_seen = 0
        self._training_seen = 0
        self._awaited: set[str] = set()  # ids of jobs whose end a person has not been told
        self.timer = QTimer(self)
        self.timer.setInterval(LOOK_MS)
        self.timer.timeout.connect(self.look)
        session.events.project.connect(self._on_project)
        session.events.training_id.connect(self._on_training_id)
        session.predict.connect(self._on_predict)
        session.train.connect(self._on_train)
        session.cancel.connect(self._on_cancel)
        session.offer_taken.connect(self._on_offer)

    def close(self) -> None:
        """Look no more; the jobs go on."""
        self.timer.stop()

    def look(self) -> None:
        """Read how far the jobs are."""
        if self.prediction is not None:
            self._look_at_prediction(self.prediction)
        if self.training is not None:
            self._look_at_training(self.training)
        running = (self.session.prediction_job, self.session.training_job)
        if not any(job is not None and not job.status.is_over for job in running):
            self.timer.stop()

    # -- finding jobs again

    def _on_project(self) -> None:
        project = self.session.project
        self.prediction = self.training = None
        self.session.prediction_job = None
        self.session.training_id = None
        if project is None:
            return
        jobs = list_jobs(project.jobs_folder)
        predictions = [job for job in jobs if job.kind == "predict" and not job.status.is_over]
        trainings = [job for job in jobs if job.kind in TRAINING]
        if predictions:
            self._watch_prediction(predictions[-1])
        if trainings:
            self.session.training_id = trainings[-1].id

    def _on_training_id(self, job_id: str | None) -> None:
        self.training, self._training_seen = None, 0
        self.session.training_job, self.session.training_result = None, None
        project = self.session.project
        if project is None or job_id is None:
            return
        self.training = Job(project.jobs_folder / job_id)
        self.timer.start()
        QTimer.singleShot(0, self.look)  # once every panel has made room for this training

    def _watch_prediction(self, job: Job) -> None:
        self.prediction, self._prediction_seen = job, 0
        self.look()
        self.timer.start()

    # -- starting and stopping

    def _on_predict(self, names: tuple[str, ...]) -> None:
        project = self.session.project
        if project is None:
            return
        with self.session.telling():
            if self.session.prediction_job and not self.session.prediction_job.status.is_over:
                raise JobProblem("A prediction is running already; wait for it or cancel it.")
            spec = PredictSpec.with_current_pair(project, names)
            self._watch_prediction(self.executor.submit(spec))

    def _on_train(self, spec: FineTuneSpec) -> None:
        with self.session.telling():
            job = self.session.training_job
            if job is not None and not job.status.is_over:
                raise JobProblem("A training is running already; wait for it or cancel it.")
            job_id = self.executor.submit(spec).id
            self._awaited.add(job_id)
            self.session.training_id = job_id

    def _on_cancel(self, job_id: str) -> None:
        for job in (self.prediction, self.training):
            if job is not None and job.id == job_id:
                with self.session.telling():
                    job.request_stop()
                self.look()

    def _on_offer(self, what: str) -> None:
        project = self.session.project
        if project is None:
            return
        if what == "predict" and self.session.volume is not None:
            self.session.predict.emit((self.session.volume,))
        elif what == "predict all":
            self.session.predict.emit(tuple(record.name for record in project.volumes()))

    # -- what they say

    def _look_at_prediction(self, job: Job) -> None:
        snapshot = job.snapshot()
        records = job.progress(self._prediction_seen)
        self._prediction_seen += len(records)
        done = tuple(name for record in records for name in record.get("done") or ())
        over = snapshot.status.is_over
        self.session.prediction_job = snapshot
        if over:
            self.prediction = None
            done = tuple((job.result() or {}).get("predicted") or done)
            self._tell_end(snapshot, "The prediction")
        if done or over:
            self.session.predicted.emit(done)

    def _look_at_training(self, job: Job) -> None:
        snapshot = job.snapshot()
        records = job.progress(self._training_seen)
        self._training_seen += len(records)
        over = snapshot.status.is_over
        if over:
            self.session.training_result = job.result()
            self.training = None
        else:
            self._awaited.add(job.id)
        if records:
            self.session.training_records.emit(records)
        self.session.training_job = snapshot
        if over and job.id in self._awaited:
            self._awaited.discard(job.id)
            self._tell_end(snapshot, "The fine-tuning")
            self.session.volumes_changed.emit()

    def _tell_end(self, snapshot: JobSnapshot, what: str) -> None:
        if snapshot.status is JobStatus.FAILED:
            first = (snapshot.error.splitlines() or [f"{what} failed."])[0]
            self.session.notice = Notice(first, "error")
        elif snapshot.status is JobStatus.STOPPED:
            self.session.notice = Notice(snapshot.message or f"{what} was stopped.")
        elif snapshot.kind == "predict":
            self.session.notice = Notice(snapshot.message or f"{what} is done.", "good")
        else:
            self.session.notice = Notice(
                snapshot.message or f"{what} is done.", "good", offer="Look", what="fine-tune"
            )
