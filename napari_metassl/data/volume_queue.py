"""The volumes of a project as a queue of work: how far each is, and how good it may be."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from napari_metassl.data.model_card import ModelCard, read_card
from napari_metassl.data.project import Project
from napari_metassl.data.project_file import Role
from napari_metassl.data.quality import Calibration, calibrate
from napari_metassl.data.reliability import Reliability
from napari_metassl.data.review_progress import (
    ReviewProgress,
    keep_progress,
    last_edited,
    read_progress,
)
from napari_metassl.data.volume_figures import VolumeFigures, keep_figures, read_figures
from napari_metassl.errors import MetaSSLError


class VolumeStatus(StrEnum):
    """How far a volume is; in the order of work."""

    UNPREDICTED = "unpredicted"
    OUTDATED = "older pair"
    PREDICTED = "predicted"
    IN_REVIEW = "in review"
    REVIEWED = "reviewed"
    DAMAGED = "damaged"


@dataclass(frozen=True, eq=False)
class QueueEntry:
    """One volume of the queue.

    Attributes
    ----------
    predicted
        Unpredicted, predicted, by an older pair, or damaged.
    figures
        Of its prediction; None without one, or while they are still to be made.
    progress
        Of its review; None if nobody edited it, or while it is still to be counted.
    edited
        When a person last changed it.
    problem
        Why its figures cannot be had: a sentence.
    """

    name: str
    role: Role
    predicted: VolumeStatus
    figures: VolumeFigures | None = None
    progress: ReviewProgress | None = None
    edited: datetime | None = None
    problem: str = ""

    @property
    def status(self) -> VolumeStatus:
        """How far it is; edits that were all taken back do not count."""
        if self.edited is None or (self.progress is not None and not self.progress.voxels):
            return self.predicted
        reviewed = self.progress is not None and self.progress.is_reviewed
        return VolumeStatus.REVIEWED if reviewed else VolumeStatus.IN_REVIEW

    @property
    def is_complete(self) -> bool:
        """Whether everything about it is known."""
        unpredicted = self.predicted is VolumeStatus.UNPREDICTED
        figures = unpredicted or self.figures is not None
        progress = self.edited is None or self.progress is not None
        return bool(self.problem) or (figures and progress)


@dataclass(frozen=True)
class Quality:
    """How good a prediction is.

    Attributes
    ----------
    order
        The larger, the better; None if nothing is known.
    dice
        Mean over the classes: measured, or predicted; None where nothing can be claimed.
    error
        How far a predicted Dice is off on average; None if it was measured against a manual label.
    """

    order: float | None = None
    dice: float | None = None
    error: float | None = None


@dataclass(frozen=True, eq=False)
class VolumeQueue:
    """All volumes, in the order of the project; never changed, but replaced."""

    entries: Mapping[str, QueueEntry] = field(default_factory=dict)

    def with_entries(self, *entries: QueueEntry) -> VolumeQueue:
        """Return a queue in which some volumes are further."""
        return VolumeQueue({**self.entries, **{entry.name: entry for entry in entries}})

    def quality(self, entry: QueueEntry) -> Quality:
        """Measured Dice where there is a label, else the predicted one.

        Before any Dice can be predicted there is only an order, for all alike.
        """
        figures = entry.figures
        if figures is None or figures.expected_dice is None:
            return Quality()
        learned = self.calibration(figures.pair_sha256)
        if figures.mean_dice is not None and learned is not None:
            return Quality(figures.mean_dice, figures.mean_dice)
        if learned is not None:
            dice = learned.estimate(figures.expected_dice)
            return Quality(dice, dice, learned.error)
        return Quality(figures.expected_dice)

    def calibration(self, pair_sha256: str) -> Calibration | None:
        """Say what the validation volumes tell about the Dice to be expected of a pair."""
        return self._calibrations.get(pair_sha256)

    def reliability(self, pair_sha256: str) -> Reliability | None:
        """How often a pair is right when it is so sure, over the validation volumes."""
        return self._reliabilities.get(pair_sha256)

    @cached_property
    def _validation(self) -> dict[str, list[VolumeFigures]]:
        """Figures of validation volumes by the pair that predicted them."""
        found: dict[str, list[VolumeFigures]] = {}
        for entry in self.entries.values():
            if entry.role == "validation" and entry.figures is not None:
                found.setdefault(entry.figures.pair_sha256, []).append(entry.figures)
        return found

    @cached_property
    def _calibrations(self) -> dict[str, Calibration | None]:
        known = {
            pair: [(f.expected_dice, f.mean_dice) for f in figures]
            for pair, figures in self._validation.items()
        }
        return {
            pair: calibrate([(x, y) for x, y in points if x is not None and y is not None])
            for pair, points in known.items()
        }

    @cached_property
    def _reliabilities(self) -> dict[str, Reliability | None]:
        return {
            pair: Reliability.over(f.confidence for f in figures if f.confidence is not None)
            for pair, figures in self._validation.items()
        }


def listed(project: Project) -> VolumeQueue:
    """All volumes, as long as nothing was read about them."""
    entries = (QueueEntry(v.name, v.role, VolumeStatus.UNPREDICTED) for v in project.volumes())
    return VolumeQueue({entry.name: entry for entry in entries})


def read_entry(project: Project, name: str, card: ModelCard | None) -> QueueEntry:
    """Say about a volume what can be said at once, from small files only.

    Parameters
    ----------
    card
        Of the pair in use.
    """
    role = project.volume(name).role
    edited = last_edited(project, name)
    try:
        stored = project.prediction_card(name)
        figures = read_figures(project, name)
    except MetaSSLError as problem:
        return QueueEntry(name, role, VolumeStatus.DAMAGED, edited=edited, problem=str(problem))
    if stored is None:
        predicted = VolumeStatus.UNPREDICTED
    elif card is not None and stored.pair_sha256 == card.fingerprint:
        predicted = VolumeStatus.PREDICTED
    else:
        predicted = VolumeStatus.OUTDATED
    progress = None if edited is None else read_progress(project, name)
    return QueueEntry(name, role, predicted, figures, progress, edited)


def complete_entry(project: Project, entry: QueueEntry) -> QueueEntry:
    """Make what `read_entry` did not find: reads whole volumes, so do it in a thread."""
    try:
        if entry.predicted is not VolumeStatus.UNPREDICTED and entry.figures is None:
            entry = replace(entry, figures=keep_figures(project, entry.name))
        if entry.edited is not None and entry.progress is None:
            entry = replace(entry, progress=keep_progress(project, entry.name))
    except (MetaSSLError, OSError) as problem:
        return replace(entry, problem=str(problem))
    return entry


def worst_unlabeled(project: Project) -> str | None:
    """Name the unlabeled volume that is probably predicted worst and is not reviewed yet.

    Only by figures that are kept; None without any.
    """
    known = []
    for record in project.volumes("unlabeled"):
        with suppress(MetaSSLError):
            figures = read_figures(project, record.name)
            progress = read_progress(project, record.name)
            if figures is not None and not (progress and progress.is_reviewed):
                known.append((figures.expected_dice or 0.0, record.name))
    return min(known)[1] if known else None


def current_card(project: Project) -> ModelCard | None:
    """Card of the pair in use; None without one, or if it cannot be read."""
    folder = project.pair_path()
    if folder is None:
        return None
    try:
        return read_card(folder)
    except MetaSSLError:
        return None
