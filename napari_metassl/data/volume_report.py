"""What became of one volume: what was changed, when and by whom, and how large everything is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, Field

from napari_metassl.data.corrections import PROVENANCE_COLORS, Provenance
from napari_metassl.data.edit_journal import EditRecord
from napari_metassl.data.final_segmentation import FinalSegmentation, Labels
from napari_metassl.data.project import Project

SOURCES = {
    Provenance.MANUAL: "manual labels",
    Provenance.PREDICTED: "prediction of the pair",
    None: "nothing",
}


class ClassSize(BaseModel, frozen=True):
    """Volume of one class below the corrections and with them, in mL."""

    name: str
    color: str
    before_ml: float
    after_ml: float


class ClassChange(BaseModel, frozen=True):
    """Voxels that were of one class and are now of another."""

    before: str
    after: str
    voxels: int
    ml: float


class ProvenanceShare(BaseModel, frozen=True):
    """How much of the volume has labels of one provenance."""

    name: str
    color: str | None
    voxels: int
    ml: float


class PersonWork(BaseModel, frozen=True):
    """What one person did."""

    who: str
    edits: int
    voxels: int
    first: AwareDatetime
    last: AwareDatetime


class ReportedEdit(BaseModel, frozen=True):
    """One record of the edit journal, without its voxels."""

    seq: int
    time: AwareDatetime
    who: str
    action: str
    voxels: int
    undoes: int | None = None
    """`seq` of the edit this one takes back."""


class PairUsed(BaseModel, frozen=True):
    """The pair of networks whose prediction the person saw."""

    name: str
    sha256: str
    predicted: AwareDatetime


class VolumeReport(BaseModel, frozen=True):
    """Saved beside an exported segmentation as ``NAME_report.json``.

    Attributes
    ----------
    below
        What the corrections were laid over: manual labels, the pair's prediction, or nothing.
    shape, spacing_mm
        (z, y, x).
    """

    format: Literal["napari-metassl volume report"] = "napari-metassl volume report"
    format_version: Literal[1] = 1
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    program: str
    project: str
    volume: str
    role: str
    images: tuple[str, ...]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    below: str
    pair: PairUsed | None
    classes: tuple[ClassSize, ...]
    changes: tuple[ClassChange, ...]
    provenance: tuple[ProvenanceShare, ...]
    people: tuple[PersonWork, ...]
    edit_count: int
    edits: tuple[ReportedEdit, ...]
    files: tuple[str, ...] = ()


def make_report(
    project: Project, name: str, final: FinalSegmentation, files: Sequence[str] = ()
) -> VolumeReport:
    """Report on a volume; `files` are the names it is exported under."""
    from napari_metassl import __version__

    record, card = project.volume(name), final.prediction
    z, y, x = final.labels.shape
    return VolumeReport(
        program=f"napari-metassl {__version__}",
        project=project.name,
        volume=name,
        role=record.role,
        images=tuple(path.name for path in project.image_paths(name)),
        shape=(z, y, x),
        spacing_mm=final.geometry.spacing,
        below=SOURCES[final.source],
        pair=card
        and PairUsed(name=card.pair_name, sha256=card.pair_sha256, predicted=card.created),
        classes=_sizes(project, final),
        changes=_changes(project, final),
        provenance=_shares(final),
        people=_people(final.edits),
        edit_count=len(final.edits),
        edits=tuple(_reported(edit) for edit in final.edits),
        files=tuple(files),
    )


def _sizes(project: Project, final: FinalSegmentation) -> tuple[ClassSize, ...]:
    """Sizes of all classes but the background, which is as large as the image was cut."""
    ml = final.geometry.voxel_volume_ml
    before, after = (_counts(labels, project.classes) for labels in (final.before, final.labels))
    return tuple(
        ClassSize(
            name=project.class_names[k],
            color=project.class_colors[k],
            before_ml=float(before[k] * ml),
            after_ml=float(after[k] * ml),
        )
        for k in range(1, project.classes)
    )


def _counts(labels: Labels, classes: int) -> Labels:
    # Slice by slice: bincount would make 8 bytes of every voxel at once.
    return sum(np.bincount(part.reshape(-1), minlength=classes) for part in labels)  # type: ignore[return-value]


def _changes(project: Project, final: FinalSegmentation) -> tuple[ClassChange, ...]:
    changed = final.before != final.labels
    pairs = np.stack([final.before[changed], final.labels[changed]]).astype(np.int64)
    kinds, counts = np.unique(pairs, axis=1, return_counts=True)
    found = [
        ClassChange(
            before=_class_name(project, int(old)),
            after=_class_name(project, int(new)),
            voxels=int(count),
            ml=float(count * final.geometry.voxel_volume_ml),
        )
        for (old, new), count in zip(kinds.T, counts, strict=True)
    ]
    return tuple(sorted(found, key=lambda change: -change.voxels))


def _class_name(project: Project, k: int) -> str:
    return project.class_names[k] if k < project.classes else f"class {k}"


def _shares(final: FinalSegmentation) -> tuple[ProvenanceShare, ...]:
    counts = _counts(final.provenance, len(Provenance))
    return tuple(
        ProvenanceShare(
            name=provenance.name.lower(),
            color=PROVENANCE_COLORS.get(provenance),
            voxels=int(counts[provenance]),
            ml=float(counts[provenance] * final.geometry.voxel_volume_ml),
        )
        for provenance in Provenance
        if counts[provenance]
    )


def _people(edits: Sequence[EditRecord]) -> tuple[PersonWork, ...]:
    by_person = groupby(sorted(edits, key=lambda edit: edit.who), key=lambda edit: edit.who)
    return tuple(
        PersonWork(
            who=who,
            edits=len(own),
            voxels=sum(edit.runs.count for edit in own),
            first=min(edit.time for edit in own),
            last=max(edit.time for edit in own),
        )
        for who, own in ((who, list(group)) for who, group in by_person)
    )


def _reported(edit: EditRecord) -> ReportedEdit:
    return ReportedEdit(
        seq=edit.seq,
        time=edit.time,
        who=edit.who,
        action=edit.action,
        voxels=edit.runs.count,
        undoes=edit.undoes,
    )
