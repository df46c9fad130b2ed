"""What a person can ask for when volumes are handed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

Look = Callable[[str, float], None]
"""Called before each volume with its name and the finished share; may raise to stop."""


class ExportFormat(StrEnum):
    """Files of labels, by suffix, or the folders nnU-Net trains on."""

    NII_GZ = "nii.gz"
    NII = "nii"
    SEG_NRRD = "seg.nrrd"
    """With the names and colours of the classes, for 3D Slicer."""
    NRRD = "nrrd"
    MHA = "mha"
    NNUNET = "nnunet"


class Untouched(StrEnum):
    """What becomes of the voxels nobody touched in a corrected volume, for nnU-Net."""

    IGNORE = "ignore"
    """They get nnU-Net's ignore label: it learns from what a person saw alone."""
    PREDICTED = "predicted"
    """They keep what the pair predicted."""


@dataclass(frozen=True)
class ExportRequest:
    """One export.

    Attributes
    ----------
    volumes
        Names; all volumes where none is given, and those that have nothing are left out.
    provenance
        Whether a second volume says where each voxel comes from.
    report
        Whether a report (JSON and a printable page) is written for every volume.
    replace
        Whether files that are there may be replaced.
    untouched, channels
        For nnU-Net: see `Untouched`, and the names of the image's channels ("CT" has nnU-Net's
        CT normalisation).
    """

    folder: Path
    format: ExportFormat = ExportFormat.NII_GZ
    volumes: tuple[str, ...] = ()
    provenance: bool = True
    report: bool = True
    replace: bool = False
    untouched: Untouched = Untouched.IGNORE
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """What an export wrote, and a sentence for every volume it left out."""

    folder: Path
    written: tuple[Path, ...]
    left_out: tuple[str, ...] = ()
