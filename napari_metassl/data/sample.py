"""The sample data that comes with the package, and a project made of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from napari_metassl.data.project import Project
from napari_metassl.errors import FileProblem, ProjectProblem

SAMPLE_PAIR = "sample"


def sample_data_path() -> Path:
    """Folder with ``images/``, ``labels/``, ``split.json`` and ``pair/``.

    Raises
    ------
    FileProblem
        If the package was installed without it.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "sample_data", package.parent / "sample_data"):  # wheel, checkout
        if (folder / "split.json").is_file():
            return folder
    raise FileProblem(
        f"The sample data is not in '{package}', where it belongs. Install napari-metassl again."
    )


def sample_project(folder: Path) -> Project:
    """Copy the sample volumes and their pair to a new project in `folder`.

    Raises
    ------
    ProjectProblem
        If the folder is not empty.
    """
    folder = Path(folder).expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectProblem(
            f"'{folder}' is not an empty folder, as the sample project needs it. Choose another."
        )
    source = sample_data_path()
    split = json.loads((source / "split.json").read_text(encoding="utf-8"))
    for part in ("images", "labels"):
        shutil.copytree(source / part, folder / part)
    project = Project.create(
        folder,
        folder / "images",
        labels=folder / "labels",
        labeled=split["labeled"],
        validation=split["validation"],
        class_names=split.get("class_names"),
        class_colors=split.get("class_colors"),
        name="Heart phantoms",
    )
    if (source / "pair").is_dir():
        project.set_current_pair(project.add_pair(source / "pair", SAMPLE_PAIR))
    return project
