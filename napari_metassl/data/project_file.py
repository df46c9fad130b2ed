"""What ``project.json`` holds, and how it is read and written."""

from __future__ import annotations

import json
import re
from pathlib import Path, PureWindowsPath
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from napari_metassl.data.names import check_name
from napari_metassl.data.volume_io import written_aside
from napari_metassl.errors import ProjectProblem
from napari_metassl.method.checked_model import validation_sentence

PROJECT_FILE = "project.json"
FORMAT_VERSION: Literal[1] = 1
MAXIMUM_CLASSES = 127
"""Values a person can paint; codes of a prediction could hold one more."""

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")

Role = Literal["labeled", "validation", "unlabeled"]


class VolumeRecord(BaseModel, frozen=True):
    """One volume of a project.

    Paths are relative to the project's folder when they lie inside it, absolute otherwise.
    """

    name: str
    images: tuple[str, ...] = Field(min_length=1)
    """One path for every channel."""
    labels: str | None = None
    role: Role = "unlabeled"

    @field_validator("name")
    @classmethod
    def _name_is_safe(cls, name: str) -> str:
        return check_name(name)

    @model_validator(mode="after")
    def _labels_fit_role(self) -> Self:
        if (self.role == "unlabeled") != (self.labels is None):
            raise ProjectProblem(
                f"Volume '{self.name}' is {self.role} but has "
                f"{'no labels' if self.labels is None else 'labels'}. Correct its role."
            )
        return self


class ProjectFile(BaseModel, frozen=True):
    """Everything a project knows that is not a file of its own."""

    format_version: Literal[1] = FORMAT_VERSION
    name: str
    class_names: tuple[str, ...] = Field(min_length=2, max_length=MAXIMUM_CLASSES + 1)
    """Class 0 is the background."""
    class_colors: tuple[str, ...]
    """``#rrggbb``, one for every class."""
    volumes: tuple[VolumeRecord, ...]
    current_pair: str | None = None
    """Name of a folder in ``pairs/``."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [volume.name.lower() for volume in self.volumes]  # some disks ignore case
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ProjectProblem(f"Got volume '{twice[0]}' twice. Give every volume its own name.")
        if len(self.class_colors) != len(self.class_names):
            raise ProjectProblem(
                f"Got {len(self.class_colors)} class_colors for {len(self.class_names)} "
                "class_names. Give one colour for every class."
            )
        for color in self.class_colors:
            if not _COLOR.fullmatch(color):
                raise ProjectProblem(
                    f"Got the class colour {color!r}, expected #rrggbb. Correct it."
                )
        if self.current_pair is not None:
            check_name(self.current_pair, "pair")
        return self


def stored_path(path: Path, folder: Path) -> str:
    """How `path` is written in the project of `folder`."""
    # A link is kept as the link it is: what it points to may have another name, or move.
    absolute, root = path.absolute().parent.resolve() / path.name, folder.resolve()
    inside = absolute.is_relative_to(root)
    return absolute.relative_to(root).as_posix() if inside else str(absolute)


def resolve_path(stored: str, folder: Path) -> Path:
    """Return the path a project file means.

    Raises
    ------
    ProjectProblem
        If a relative path would leave the project's folder.
    """
    path = Path(stored)
    if path.is_absolute():
        return path
    if ".." in path.parts or PureWindowsPath(stored).drive or not stored.strip():
        raise ProjectProblem(
            f"Got the path '{stored}' in {PROJECT_FILE}, expected one inside the project's folder "
            "or an absolute one. Correct it there."
        )
    return folder / path


def read_project_file(folder: Path) -> ProjectFile:
    """Read ``project.json``.

    Raises
    ------
    ProjectProblem
        If it is not there, not JSON, of a later format, or says something impossible.
    """
    path = folder / PROJECT_FILE
    content = _read_json(path)
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise ProjectProblem(
            f"'{path}' has format_version {version!r}, expected {FORMAT_VERSION}. Open it with "
            "the version of napari-metassl that wrote it, or update napari-metassl."
        )
    try:
        project = ProjectFile.model_validate(content)
    except ValidationError as error:
        raise ProjectProblem(f"'{path}' is not a project: {validation_sentence(error)}") from error
    for volume in project.volumes:
        for stored in (*volume.images, *([volume.labels] if volume.labels else [])):
            resolve_path(stored, folder)
    return project


def make_project_file(**fields: Any) -> ProjectFile:
    """Make a project file of `fields`; what does not fit is one sentence."""
    try:
        return ProjectFile(**fields)
    except ValidationError as error:
        raise ProjectProblem(validation_sentence(error)) from error


def write_project_file(project: ProjectFile, folder: Path) -> Path:
    """Write ``project.json`` aside, to the disk, and rename it."""
    path = folder / PROJECT_FILE
    with written_aside(path) as aside:
        aside.write_text(project.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ProjectProblem(
            f"'{path.parent}' holds no {PROJECT_FILE}, so it is not a project. Choose a project's "
            "folder, or make one with `napari-metassl new`."
        ) from error
    except (OSError, ValueError) as error:
        raise ProjectProblem(
            f"'{path}' cannot be read as JSON ({error}). Restore it from a copy, or make the "
            "project again beside it: predictions and corrections are files of their own."
        ) from error
    if not isinstance(content, dict):
        raise ProjectProblem(f"'{path}' holds a {type(content).__name__}, expected an object.")
    return content
