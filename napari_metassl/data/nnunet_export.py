"""A project as a data set in nnU-Net's raw layout (version 2).

::

    Dataset501_Hearts/
      dataset.json          channel_names, labels, numTraining, file_ending
      imagesTr/p0_0000.nii.gz   labelsTr/p0.nii.gz     labeled and corrected volumes
      imagesTs/p7_0000.nii.gz                          all others
      labelsTs/p2.nii.gz                               of validation volumes, which only measure
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_metassl.data.corrections import Provenance
from napari_metassl.data.export_request import Exported, ExportRequest, Look, Untouched
from napari_metassl.data.final_segmentation import FinalSegmentation, Labels, final_segmentation
from napari_metassl.data.project import Project
from napari_metassl.data.project_file import VolumeRecord
from napari_metassl.data.volume_io import read_volume, volume_suffix, write_labels, write_volume
from napari_metassl.errors import FileProblem, ProjectProblem

FILE_ENDING = ".nii.gz"
FIRST_ID = 501
"""Smaller numbers are in use for public data sets."""

Part = Literal["Tr", "Ts"]


@dataclass
class _Count:
    training: int = 0
    ignored: bool = False
    channels: int = 0


def export_dataset(project: Project, request: ExportRequest, look: Look) -> Exported:
    """Write the data set into a new folder of `request.folder`; it appears as a whole or not.

    Raises
    ------
    ProjectProblem
        If no volume has a label or a correction, so there is nothing to train on.
    FileProblem
        If the disk refuses.
    """
    records = [project.volume(name) for name in request.volumes] or project.volumes()
    target = request.folder / _free_name(request.folder, project.name)
    count = _Count()
    with _folder_aside(target) as aside:
        for number, record in enumerate(records):
            look(record.name, number / len(records))
            _add(project, record, request, aside, count)
        if not count.training:
            raise ProjectProblem(
                f"Project '{project.name}' has no labeled and no corrected volume among those "
                "chosen, so nnU-Net could not train on them. Correct a volume first."
            )
        content = json.dumps(_description(project, request, count), indent=2)
        (aside / "dataset.json").write_text(content + "\n", encoding="utf-8")
    written = sorted(path for path in target.rglob("*") if path.is_file())
    return Exported(target, tuple(written))


def _add(
    project: Project, record: VolumeRecord, request: ExportRequest, aside: Path, count: _Count
) -> None:
    """Write the images of a volume, and its labels if it has any that a person stands for."""
    final = _labels_of(project, record)
    part: Part = "Ts" if final is None or record.role == "validation" else "Tr"
    paths = project.image_paths(record.name)
    _require_channels(record, len(paths), count)
    for channel, path in enumerate(paths):
        name = f"{record.name}_{channel:04d}{FILE_ENDING}"
        _copy_image(path, aside / f"images{part}" / name)
    if final is not None:
        labels = final.labels
        if record.role == "unlabeled" and request.untouched is Untouched.IGNORE:
            labels = _ignored(final, project.classes)
            count.ignored |= bool((labels == project.classes).any())
        name = f"{record.name}{FILE_ENDING}"
        write_labels(aside / f"labels{part}" / name, labels, final.geometry)
    count.training += part == "Tr"


def _labels_of(project: Project, record: VolumeRecord) -> FinalSegmentation | None:
    """Labels of a volume that a person gave, at least in part."""
    if record.role == "unlabeled" and not _is_touched(project, record.name):
        return None
    return final_segmentation(project, record.name)


def _is_touched(project: Project, name: str) -> bool:
    return bool(project.corrections(name, writable=False).touched.any())


def _ignored(final: FinalSegmentation, ignore: int) -> Labels:
    return np.where(final.provenance == Provenance.PREDICTED, np.uint8(ignore), final.labels)


def _require_channels(record: VolumeRecord, channels: int, count: _Count) -> None:
    if count.channels and channels != count.channels:
        raise ProjectProblem(
            f"Volume '{record.name}' has {channels} channels and those before it have "
            f"{count.channels}; nnU-Net takes one number only. Export them apart."
        )
    count.channels = channels


def _copy_image(source: Path, target: Path) -> None:
    """Copy a file of the right kind as it is; write any other on its own grid."""
    if source.is_file() and volume_suffix(source) == FILE_ENDING:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        volume = read_volume(source)
        write_volume(target, volume.data, volume.geometry)


def _description(project: Project, request: ExportRequest, count: _Count) -> dict[str, Any]:
    """Return what ``dataset.json`` says; the keys are nnU-Net's."""
    labels = {"background": 0} | {name: k for k, name in enumerate(project.class_names) if k > 0}
    if count.ignored:
        labels["ignore"] = project.classes  # the highest, as nnU-Net asks for
    given = request.channels
    names = [given[c] if c < len(given) else f"channel {c + 1}" for c in range(count.channels)]
    return {
        "channel_names": {str(c): name for c, name in enumerate(names)},
        "labels": labels,
        "numTraining": count.training,
        "file_ending": FILE_ENDING,
        "name": project.name,
        "description": "Exported by napari-metassl: manual labels and corrected predictions",
    }


def _free_name(folder: Path, project: str) -> str:
    """Return ``Dataset501_Name`` with the first number the folder does not use."""
    used = {path.name[7:10] for path in folder.glob("Dataset[0-9][0-9][0-9]_*")}
    number = next(n for n in range(FIRST_ID, 10_000) if f"{n:03d}" not in used)
    words = re.findall(r"[A-Za-z0-9]+", project)
    return f"Dataset{number:03d}_" + ("".join(w[:1].upper() + w[1:] for w in words) or "MetaSSL")


@contextmanager
def _folder_aside(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` to fill; it gets its name at the end, or is removed."""
    aside = target.with_name(f".part-{os.getpid()}-{target.name}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        yield aside
        aside.rename(target)
    except FileProblem as problem:
        # The folder it was written to is gone by now: name the one the person chose.
        raise FileProblem(str(problem).replace(str(aside), str(target.parent))) from problem
    except OSError as error:
        raise FileProblem(
            f"'{target.name}' could not be written to '{target.parent}': {error.strerror}. Free "
            "space there or choose another folder."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
