"""Finds out about the volumes of the project, in threads, and fills ``session.queue``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from qtpy.QtCore import QObject, QTimer, Signal

from napari_metassl.data.project import Project
from napari_metassl.data.review_progress import count_progress, keep_progress
from napari_metassl.data.volume_queue import (
    QueueEntry,
    VolumeQueue,
    complete_entry,
    current_card,
    listed,
    read_entry,
)
from napari_metassl.widgets.review import Review
from napari_metassl.widgets.session import Session

REST_MS = 250
"""The progress of the open volume is counted when nobody has painted for so long."""


class QueueLoader(QObject):
    """Reads small files first, all volumes at once; then makes what is missing, one by one.

    Files are read in the threads; only the window's own thread touches the session.
    """

    _found = Signal(object, object)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="metassl-queue")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="metassl-figures")
        self._making: set[str] = set()
        self._closed = False
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._count_progress)
        self._found.connect(self._on_found)
        session.events.project.connect(self._on_project)
        session.volumes_changed.connect(self._read_all)
        session.predicted.connect(self._on_predicted)
        session.edited.connect(self._on_edited)

    def close(self) -> None:
        """Stop reading."""
        self._closed = True
        self._rest.stop()
        for pool in (self._quick, self._slow):
            pool.shutdown(wait=True, cancel_futures=True)

    def _on_project(self, project: Project | None) -> None:
        self._making.clear()
        self.session.queue = VolumeQueue() if project is None else listed(project)
        self._read_all()

    def _on_predicted(self, names: tuple[str, ...]) -> None:
        self._read(names or self.session.queue.entries)

    def _read_all(self) -> None:
        self._read(self.session.queue.entries)

    def _read(self, names: Iterable[str]) -> None:
        project = self.session.project
        wanted = tuple(names)
        if project is not None and wanted:
            self._do(self._quick, project, lambda: read_entries(project, wanted))

    def _on_edited(self) -> None:
        self._rest.start()

    def _count_progress(self) -> None:
        """Count the progress of the volume that is open: its arrays are at hand."""
        project, review = self.session.project, self.session.review
        if project is not None and review is not None:
            self._do(self._quick, project, lambda: [edited_entry(project, review)])

    def _do(
        self, pool: ThreadPoolExecutor, project: Project, work: Callable[[], list[QueueEntry]]
    ) -> None:
        if self._closed:
            return

        def wanted() -> list[QueueEntry]:
            return work() if project is self.session.project else []  # a person may have gone on

        def tell(done: Future[list[QueueEntry]]) -> None:
            if not done.cancelled() and not self._closed:
                self._found.emit(project, done)

        pool.submit(wanted).add_done_callback(tell)

    def _on_found(self, project: Project, done: Future[list[QueueEntry]]) -> None:
        if project is not self.session.project or self._closed:
            return
        if (problem := done.exception()) is not None:
            self.session.tell(problem)
            return
        entries = done.result()
        self._making.difference_update(entry.name for entry in entries if entry.is_complete)
        self.session.queue = self.session.queue.with_entries(*entries)
        for entry in entries:
            if not entry.is_complete and entry.name not in self._making:
                self._making.add(entry.name)
                self._do(self._slow, project, partial(made_entries, project, entry.name))


def read_entries(project: Project, names: tuple[str, ...]) -> list[QueueEntry]:
    """Say about some volumes what small files tell."""
    card = current_card(project)
    return [read_entry(project, name, card) for name in names]


def made_entries(project: Project, name: str) -> list[QueueEntry]:
    """Read a volume anew and make what is missing."""
    return [complete_entry(project, read_entry(project, name, current_card(project)))]


def edited_entry(project: Project, review: Review) -> QueueEntry:
    """Keep the progress of an open volume, and read it with that."""
    counted = count_progress(review.corrections, review.sites, review.label_errors)
    keep_progress(project, review.name, counted)
    return read_entry(project, review.name, current_card(project))
