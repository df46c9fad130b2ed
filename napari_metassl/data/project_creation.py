"""A new project from folders: which files are one volume, what each is for, do they fit."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from napari_metassl.data.model_card import class_palette
from napari_metassl.data.names import check_name
from napari_metassl.data.project_file import (
    MAXIMUM_CLASSES,
    ProjectFile,
    Role,
    VolumeRecord,
    make_project_file,
    stored_path,
)
from napari_metassl.data.volume_io import list_volumes, read_geometry, read_labels, volume_stem
from napari_metassl.errors import ProjectProblem

MAXIMUM_CHANNELS = 8
"""With more files ``case_0000``, ``case_0001``, ... the number is taken to be the case's."""

_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


@dataclass(frozen=True)
class ProjectRequest:
    """What a person asks for when making a project; see `Project.create`."""

    images: Path
    labels: Path | None = None
    labeled: Sequence[str] | None = None
    validation: Sequence[str] = ()
    class_names: Sequence[str] | None = None
    class_colors: Sequence[str] | None = None
    name: str | None = None


def gather_project(folder: Path, request: ProjectRequest) -> ProjectFile:
    """Match the files of `request` by name and check that they fit together.

    Raises
    ------
    ProjectProblem
        Naming the first file or name that does not fit, and what to do.
    """
    labels = {} if request.labels is None else _volumes_in(request.labels, "labels")
    images = group_channels(_volumes_in(request.images, "images"), labels)
    for name in labels:
        if name not in images:
            raise ProjectProblem(
                f"Label '{labels[name].name}' has no image of the same name in "
                f"'{request.images}'{_suggestion(name, images)}. Rename one, or remove the label."
            )
    roles = assign_roles(images, labels, request.labeled, request.validation)
    used = {name: labels[name] for name, role in roles.items() if role != "unlabeled"}
    for name, paths in images.items():
        check_name(name)
        _check_grids(name, [*paths, used[name]] if name in used else paths)
    class_names = _class_names(used, request.class_names)
    return make_project_file(
        name=request.name or folder.name,
        class_names=class_names,
        class_colors=tuple(request.class_colors or class_palette(len(class_names))),
        volumes=tuple(
            VolumeRecord(
                name=name,
                images=tuple(stored_path(path, folder) for path in paths),
                labels=stored_path(used[name], folder) if name in used else None,
                role=roles[name],
            )
            for name, paths in images.items()
        ),
    )


def read_names(path: Path) -> list[str]:
    """Read a list file: one volume name, or file name of a volume, per line.

    Empty lines and what follows a ``#`` are skipped.

    Raises
    ------
    ProjectProblem
        If the file cannot be read as text, or holds no name.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ProjectProblem(
            f"The list '{path}' cannot be read: {reason}. Give a text file with one name per line."
        ) from error
    names = [line.split("#")[0].strip() for line in lines]
    if not any(names):
        raise ProjectProblem(
            f"The list '{path}' holds no name, expected one per line. Fill it in, or leave it out."
        )
    return [volume_stem(Path(name)) for name in names if name]


def group_channels(
    files: Mapping[str, Path], labels: Collection[str] = ()
) -> dict[str, tuple[Path, ...]]:
    """Group ``case_0000``, ``case_0001``, ... into the channels of ``case``.

    A folder follows this naming as a whole or not at all: every stem must have such an ending,
    every case must begin at 0000 without gaps, and no label may be named like a single file.
    """
    single: dict[str, tuple[Path, ...]] = {stem: (path,) for stem, path in files.items()}
    cases: dict[str, list[Path]] = {}
    for stem in sorted(files):
        match = _CHANNEL.fullmatch(stem)
        if match is None or stem in labels:
            return single
        channels = cases.setdefault(match["case"], [])
        if int(match["channel"]) != len(channels) or len(channels) == MAXIMUM_CHANNELS:
            return single
        channels.append(files[stem])
    counts = {case: len(channels) for case, channels in cases.items()}
    if len(set(counts.values())) > 1:
        few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        raise ProjectProblem(
            f"Volume '{few}' has {counts[few]} channel files but '{many}' has {counts[many]}, "
            "expected equally many. Add the missing ones, or rename files that are no channels."
        )
    return {case: tuple(channels) for case, channels in cases.items()}


def assign_roles(
    images: Collection[str],
    labels: Collection[str],
    labeled: Sequence[str] | None,
    validation: Sequence[str],
) -> dict[str, Role]:
    """Say what every volume is for; without `labeled` all that have labels are labeled."""
    if labeled is None:
        labeled = [name for name in labels if name not in set(validation)]
    roles: dict[str, Role] = dict.fromkeys(images, "unlabeled")
    asked: tuple[tuple[Role, Sequence[str]], ...] = (
        ("labeled", labeled),
        ("validation", validation),
    )
    for role, names in asked:
        for name in names:
            if name not in images:
                raise ProjectProblem(
                    f"Got '{name}' as a {role} volume, but there is no image of this name"
                    f"{_suggestion(name, images)}. Correct the list."
                )
            if name not in labels:
                raise ProjectProblem(
                    f"Got '{name}' as a {role} volume, but it has no label. Add its label file, or "
                    "take it off the list."
                )
            if roles[name] not in ("unlabeled", role):
                raise ProjectProblem(
                    f"Got '{name}' as a labeled and as a validation volume. Keep it on one list: "
                    "what is trained on cannot measure."
                )
            roles[name] = role
    return roles


def _volumes_in(folder: Path, what: str) -> dict[str, Path]:
    if not Path(folder).is_dir():
        state = "is a file, expected a folder" if Path(folder).exists() else "does not exist"
        raise ProjectProblem(f"The folder of {what} '{folder}' {state}. Correct its path.")
    found = list_volumes(Path(folder))
    if not found:
        raise ProjectProblem(
            f"The folder of {what} '{folder}' holds no volume, expected NIfTI, NRRD or MHA files "
            "or DICOM folders. Choose another folder."
        )
    return found


def _check_grids(name: str, paths: Sequence[Path]) -> None:
    """All channels and the label of a volume lie on one grid (headers only)."""
    first = read_geometry(paths[0])
    for path in paths[1:]:
        other = read_geometry(path)
        file = f"'{path.parent.name}/{path.name}'"  # a label is named like its image
        if other.shape != first.shape:
            raise ProjectProblem(
                f"{file} has shape {other.shape} but volume '{name}' has {first.shape}. "
                "Resample it to the volume's grid first."
            )
        if not first.same_grid(other):
            raise ProjectProblem(
                f"{file} has the shape of volume '{name}' but lies elsewhere in space. "
                "Resample it to the volume's grid first."
            )


def _class_names(labels: Mapping[str, Path], asked: Sequence[str] | None) -> tuple[str, ...]:
    """Names as asked for, or from the values that occur; checks every label file's values."""
    allowed = MAXIMUM_CLASSES if asked is None else len(asked) - 1
    if asked is not None and not 1 <= allowed <= MAXIMUM_CLASSES:
        raise ProjectProblem(
            f"Got {len(asked)} class names, expected 2 to {MAXIMUM_CLASSES + 1}, the background "
            "first. Give a name for every value that occurs in the labels."
        )
    if asked is not None and (len(set(asked)) < len(asked) or not all(asked)):
        raise ProjectProblem(
            f"Got the class names '{', '.join(asked)}', of which one is empty or comes twice. Give "
            "every class a name of its own."
        )
    highest = 1
    for name, path in labels.items():
        data = read_labels(path).data
        low, high = int(data.min()), int(data.max())
        if low < 0 or high > allowed:
            values = np.unique(data)
            raise ProjectProblem(
                f"The label of '{name}' has values from {low} to {high} ({len(values)} different), "
                f"expected 0 to {allowed}. Renumber them, or name every class."
            )
        highest = max(highest, high)
    if asked is not None:
        return tuple(asked)
    return ("background", *(f"class {k}" for k in range(1, highest + 1)))


def _suggestion(name: str, known: Collection[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
