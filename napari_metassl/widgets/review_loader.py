"""Loads the volume a person asks for in a thread, so that the window stays alive meanwhile."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from qtpy.QtCore import QObject, Signal

from napari_metassl.data.corrections import Corrections
from napari_metassl.data.project import Project
from napari_metassl.widgets.review import Review, load_review
from napari_metassl.widgets.session import Notice, Session


class ReviewLoader(QObject):
    """Follows ``session.volume`` and answers with ``session.review``.

    The thread reads files and makes arrays; only the window's own thread shows them.
    """

    _loaded = Signal(object, object)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="metassl-load")
        self._wanted: tuple[Project, str] | None = None
        self._closed = False
        self._announced: Corrections | None = None
        self._loaded.connect(self._on_loaded)
        session.events.volume.connect(self._on_volume)

    def reload(self) -> None:
        """Read the volume on display again: its prediction changed."""
        self._on_volume(self.session.volume)

    def close(self) -> None:
        """Wait for what is being read and forget it."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _on_volume(self, name: str | None) -> None:
        project = self.session.project
        if project is None or name is None or self._closed:
            self._wanted = None
            self.session.show_review(None)
            self.session.busy = ""
            return
        wanted = self._wanted = (project, name)
        self.session.busy = f"Loading {name} …"
        review = self.session.review
        if review is not None and review.name != name:
            self.session.show_review(None)
        future = self._pool.submit(load_review, project, name)
        future.add_done_callback(lambda done: self._tell(wanted, done))

    def _tell(self, wanted: tuple[Project, str], done: Future[Review]) -> None:
        """Hand the result to the window's thread; runs in the loading thread."""
        if not self._closed and not done.cancelled():
            self._loaded.emit(wanted, done)

    def _on_loaded(self, wanted: tuple[Project, str], done: Future[Review]) -> None:
        problem = done.exception()
        if wanted is not self._wanted or self._closed:
            if problem is None:
                self._let_go(done.result(), wanted[0])
            return
        if problem is not None:
            self.session.show_review(None)
            self.session.busy = ""
            self.session.tell(problem)
            return
        review = done.result()
        self.session.show_review(review)
        self.session.busy = ""
        self._announce(review)

    def _let_go(self, review: Review, project: Project) -> None:
        """Close what a person has gone on from meanwhile, unless they are coming back to it."""
        shown = self.session.review
        coming = self._wanted == (project, review.name)
        if not coming and (shown is None or shown.corrections is not review.corrections):
            with self.session.telling():
                review.corrections.close()

    def _announce(self, review: Review) -> None:
        corrections = review.corrections
        if corrections is self._announced:
            return
        self._announced = corrections
        said = list(corrections.notices)
        edits = len(corrections.recovered)
        if edits:
            said.insert(
                0,
                f"The last session with '{review.name}' ended unexpectedly: "
                f"{edits} edit{'s' if edits != 1 else ''} recovered, nothing finished is lost.",
            )
        if said:
            self.session.notice = Notice(
                " ".join(said),
                "good" if len(said) == 1 else "warning",
                offer="Show them" if edits else "",
                what="recovered",
            )
