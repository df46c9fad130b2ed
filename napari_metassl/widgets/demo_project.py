"""The project of the demo, ready to be looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

from napari_metassl.data.project import Project
from napari_metassl.data.project_file import PROJECT_FILE
from napari_metassl.data.sample import sample_project
from napari_metassl.jobs.local import predict_and_wait

VOLUME = "p08"
"""The volume under review: unlabeled, thick walls and low contrast, so there is much to correct."""


def demo_project(folder: Path, *, start_anew: bool) -> Path:
    """Make the sample project, or find it again, with the volume of the demo predicted."""
    if start_anew:
        shutil.rmtree(folder, ignore_errors=True)
    if not (folder / PROJECT_FILE).exists():
        sample_project(folder).close()
    project = Project.open(folder)
    if not project.prediction_folder(VOLUME).exists():
        predict_and_wait(project, (VOLUME,))
    return folder
