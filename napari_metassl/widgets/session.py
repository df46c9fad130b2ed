"""The state of the review window: plain, evented, without Qt. Panels set it and listen to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from psygnal import EmitLoopError, EventedModel, Signal
from pydantic import ConfigDict, InstanceOf

from napari_metassl.data.label_errors import LabelError
from napari_metassl.data.project import Project
from napari_metassl.data.proposal import Proposal, Source
from napari_metassl.data.quadripartition import Reference
from napari_metassl.data.volume_queue import VolumeQueue, worst_unlabeled
from napari_metassl.errors import MetaSSLError
from napari_metassl.jobs.job import JobSnapshot
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.method.region import Region
from napari_metassl.widgets.review import Listing, Review
from napari_metassl.widgets.tool import Tool

Thresholds = tuple[tuple[float, ...], ...]
"""Rows: supervised (A) and reference (B) network; columns: classes."""

ERASER = 0


class Action(StrEnum):
    """What a person can do at a site, by button or key."""

    NEXT = "next site"
    PREVIOUS = "previous site"
    TAKE_A = "take A's label"
    TAKE_B = "take B's label"
    TAKE_IMAGE = "follow the image"
    CONFIRM = "confirm as predicted"
    SKIP = "skip"
    UNDO = "undo"
    SHOW_A = "outline A's label"
    SHOW_B = "outline B's label"
    SHOW_IMAGE = "outline the image's"
    GROW = "grow the proposal"
    SHRINK = "shrink the proposal"
    HELP = "help"
    NEXT_VOLUME = "next volume"
    PREVIOUS_VOLUME = "volume before"


KEYS: dict[Action, str] = {
    Action.NEXT: "N",
    Action.PREVIOUS: "J",
    Action.TAKE_A: "Q",
    Action.TAKE_B: "W",
    Action.TAKE_IMAGE: "Y",
    Action.CONFIRM: "K",
    Action.SKIP: "G",
    Action.UNDO: "U",
    Action.SHOW_A: "Shift-Q",
    Action.SHOW_B: "Shift-W",
    Action.SHOW_IMAGE: "Shift-Y",
    Action.GROW: ".",
    Action.SHRINK: ",",
    Action.HELP: "H",
    Action.NEXT_VOLUME: "Shift-N",
    Action.PREVIOUS_VOLUME: "Shift-J",
}
"""Keys that napari leaves free while a labels layer is active."""


@dataclass(frozen=True)
class Notice:
    """One sentence for the person, shown on top of the panel until the next one.

    Attributes
    ----------
    offer
        Text of a button beside it; pressing it emits ``Session.offer_taken`` with ``what``.
    """

    text: str
    tone: Literal["info", "good", "warning", "error"] = "info"
    offer: str = ""
    what: str = ""


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of the corrections that is one step of undo.

    Attributes
    ----------
    voxels : (N,) int
        Flat indices into the volume.
    values : (N,) uint8
        New values of the corrections there.
    """

    action: str
    voxels: npt.NDArray[np.intp]
    values: npt.NDArray[np.uint8]


class Session(EventedModel):
    """Everything the window knows; `session.events.FIELD` tells of every change.

    Attributes
    ----------
    volume
        Name of the volume a person wants to see; ``review`` follows when it is loaded.
    queue
        All volumes with what is known about each; filled as it becomes known.
    order
        Names of the volumes as they are listed: filtered and sorted, the worst first.
    label_error
        Possible label error at hand; there is either a site or one of these.
    busy
        What is going on just now, empty when nothing is.
    thresholds
        Of the regions on display; (supervised, reference) x classes.
    visible_regions
        UC is most of every volume and hides the image, so it starts hidden.
    site
        Id of the site at hand.
    listing
        Which sites are listed and walked through, and in what order.
    reach_mm
        How far around a site its other voxels count as seen when it is finished.
    show_reach
        Whether that reach is outlined around the site at hand.
    show_provenance
        Whether it is shown which voxels are confirmed and which are corrected.
    annotator
        Who edits, as the journal notes it; the login name where empty.
    go_on
        Whether finishing a site goes to the next open one by itself.
    proposed
        Whose proposal for the site at hand is outlined.
    grow_mm
        How much farther than usual proposals for the site at hand reach; below 0, less far.
    proposal
        The one outlined; None while it is being made.
    brush
        Value the brush paints: a class, `BACKGROUND_MARK` or `ERASER`.
    ball
        Whether the brush paints a ball of radius ``ball_mm`` through the slices.
    training_id
        Id of the training whose progress and result are on display.
    tab
        The page in front: project, review or fine-tune.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    project: InstanceOf[Project] | None = None
    volume: str | None = None
    review: InstanceOf[Review] | None = None
    queue: InstanceOf[VolumeQueue] = VolumeQueue()
    order: tuple[str, ...] = ()
    label_error: InstanceOf[LabelError] | None = None
    busy: str = ""
    thresholds: Thresholds = ()
    reference: Reference = Reference.REFERENCE
    visible_regions: frozenset[Region] = frozenset({Region.US, Region.DC, Region.DS})
    site: int | None = None
    listing: InstanceOf[Listing] = Listing()
    reach_mm: float = 3.0
    show_reach: bool = True
    go_on: bool = True
    proposed: Source = Source.IMAGE
    grow_mm: float = 0.0
    proposal: InstanceOf[Proposal] | None = None
    show_provenance: bool = False
    annotator: str = ""
    brush: int = 1
    ball: bool = False
    ball_mm: float = 5.0
    tab: Literal["project", "review", "fine-tune"] = "project"
    notice: InstanceOf[Notice] | None = None
    prediction_job: InstanceOf[JobSnapshot] | None = None
    training_job: InstanceOf[JobSnapshot] | None = None
    training_id: str | None = None
    training_result: dict[str, Any] | None = None

    partitioned: ClassVar[Signal] = Signal()
    """Thresholds or reference have been applied to the regions."""
    act: ClassVar[Signal] = Signal(Action)
    """A person asks for an action at the site at hand."""
    use: ClassVar[Signal] = Signal(Tool)
    """A person uses a tool, with what the brush paints."""
    edit: ClassVar[Signal] = Signal(Edit)
    """An edit to be made through the corrections layer."""
    edited: ClassVar[Signal] = Signal(int)
    """The corrections changed and are on disk: number of voxels."""
    volumes_changed: ClassVar[Signal] = Signal()
    """Predictions, corrections or pairs of the project changed."""
    paint: ClassVar[Signal] = Signal()
    """A person chose a brush: the corrections layer should be ready to paint."""
    predict: ClassVar[Signal] = Signal(tuple)
    """A person wants these volumes predicted."""
    predicted: ClassVar[Signal] = Signal(tuple)
    """These volumes have a new prediction."""
    train: ClassVar[Signal] = Signal(FineTuneSpec)
    """A person wants this training."""
    training_records: ClassVar[Signal] = Signal(list)
    """New progress records of the training on display."""
    cancel: ClassVar[Signal] = Signal(str)
    """A person wants the job with this id to stop."""
    offer_taken: ClassVar[Signal] = Signal(str)
    """A person pressed the button of a notice."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        # Connected first: thresholds and reference are applied before any panel hears of them.
        self.events.thresholds.connect(self._partition)
        self.events.reference.connect(self._partition)
        self.events.site.connect(self._on_site)
        self.events.label_error.connect(self._on_label_error)

    @property
    def row(self) -> int:
        """Row of ``thresholds`` that a person sees: that of the network that decides."""
        return self.reference.networks[-1]

    def open_project(self, folder: Path) -> bool:
        """Open the project in ``folder`` and show its first volume worth looking at."""
        opened = False
        with self.telling():
            self.set_project(Project.open(folder))
            opened = True
        return opened

    def set_project(self, project: Project | None) -> None:
        """Leave the project at hand and show another, from its first volume worth looking at."""
        self.busy = "" if project is None else f"Opening {project.name} …"
        self.show_review(None)
        if self.project is not None:
            with self.telling():
                self.project.close()
        self.notice = None
        with self.events.volume.blocked():
            self.volume = None
        self.project = project
        self.volume = None if project is None else first_volume(project)
        if self.volume is None:
            self.busy = ""

    def show_review(self, review: Review | None) -> None:
        """Take a loaded volume over; its regions start at the pair's adaptive thresholds."""
        old, self.site, self.label_error = self.review, None, None
        if old is None or review is None or old.name != review.name:
            self.review = None  # layers and panels let go of the old one first
        if old is not None and (review is None or review.corrections is not old.corrections):
            with self.telling():
                old.corrections.close()
        if review is not None and review.quadripartition is not None:
            self.thresholds = as_thresholds(review.quadripartition.adaptive_thresholds())
            review.quadripartition.set_thresholds(self.thresholds, self.reference)
        self.review = review

    def set_threshold(self, value: float, classes: tuple[int, ...]) -> None:
        """Move the threshold of some classes, for the networks that decide."""
        rows = [list(row) for row in self.thresholds]
        for network in self.reference.networks:
            for k in classes:
                rows[network][k] = value
        self.thresholds = as_thresholds(rows)

    def reset_thresholds(self) -> None:
        """Go back to the pair's adaptive thresholds."""
        if self.review is not None and self.review.quadripartition is not None:
            self.thresholds = as_thresholds(self.review.quadripartition.adaptive_thresholds())

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Turn a problem a person can solve into a notice instead of a traceback."""
        try:
            yield
        except (MetaSSLError, OSError, EmitLoopError) as problem:
            self.tell(problem)

    def tell(self, problem: BaseException) -> None:
        """Show a problem a person can solve as a notice; raise any other."""
        if isinstance(problem, EmitLoopError) and problem.__cause__ is not None:
            problem = problem.__cause__  # it happened in a listener
        if not isinstance(problem, MetaSSLError | OSError):
            raise problem
        self.notice = Notice(sentence_of(problem), "error")

    def _on_site(self, site: int | None) -> None:
        if site is not None:
            self.label_error = None

    def _on_label_error(self, error: LabelError | None) -> None:
        if error is not None:
            self.site = None

    def _partition(self) -> None:
        if self.review is None or self.review.quadripartition is None or not self.thresholds:
            return
        self.review.quadripartition.set_thresholds(self.thresholds, self.reference)
        self.partitioned.emit()


def sentence_of(problem: BaseException) -> str:
    """Return what a person should read about a problem."""
    if not isinstance(problem, OSError):
        return str(problem)
    where = f" '{problem.filename}'" if problem.filename else ""
    return (
        f"The disk did not do as asked ({problem.strerror or problem}{where}). See that it is "
        "there, writable and has room, then try again."
    )


def as_thresholds(rows: Any) -> Thresholds:
    """Return thresholds as plain tuples, which compare by value."""
    return tuple(tuple(float(value) for value in row) for row in rows)


def first_volume(project: Project) -> str | None:
    """Return the volume to begin with.

    The one that was open when the window was killed; else one unlabeled and predicted, the worst
    if that is known.
    """
    killed = project.killed_volumes()
    if killed:
        return killed[0]
    if (worst := worst_unlabeled(project)) is not None:
        return worst
    records = project.volumes()
    predicted = [r for r in records if (project.prediction_folder(r.name)).exists()]
    for choice in ([r for r in predicted if r.role == "unlabeled"], predicted, records):
        if choice:
            return choice[0].name
    return None
