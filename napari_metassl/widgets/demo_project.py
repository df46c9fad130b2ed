"""The project of the demo, ready to be looked at."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_metassl.data.project import Project
from napari_metassl.data.sample import sample_project
from napari_metassl.errors import JobProblem, MetaSSLError
from napari_metassl.jobs.job import JobStatus

VOLUME = "p08"
"""The volume under review: unlabeled, thick walls and low contrast, so there is much to correct."""
PATIENCE_S = 600


def demo_project(folder: Path, *, start_anew: bool) -> Path:
    """Make the sample project, or find it again, with the volumes of the demo predicted."""
    if start_anew:
        shutil.rmtree(folder, ignore_errors=True)
    if not (folder / "project.json").exists():
        sample_project(folder).close()
    with_prediction(Project.open(folder), (VOLUME,))
    return folder


def with_prediction(project: Project, volumes: tuple[str, ...]) -> None:
    """Predict volumes with the project's pair, where that has not been done, and wait for it."""
    from napari_metassl.jobs.local import LocalExecutor
    from napari_metassl.jobs.specs import PredictSpec

    missing = tuple(name for name in volumes if not project.prediction_folder(name).exists())
    if not missing:
        return
    pair = project.pair_path()
    if pair is None:
        raise MetaSSLError(
            "The sample data holds no model pair to predict with. Make it with "
            "`python sample_data/train_pair.py`."
        )
    spec = PredictSpec(project=project.folder, pair=pair, volumes=missing)
    job = LocalExecutor().submit(spec)
    wait_for(lambda: job.status.is_over, "the prediction")
    if job.status is not JobStatus.SUCCEEDED:
        raise JobProblem(job.snapshot().error or "The prediction of the sample volumes failed.")


def wait_for(
    ready: Callable[[], bool], what: str, pause: Callable[[], Any] = lambda: time.sleep(0.2)
) -> None:
    """Wait until `ready`; `pause` is called between two looks."""
    end = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > end:
            raise JobProblem(
                f"Waited {PATIENCE_S} s for {what} in vain; see the log in the job's folder."
            )
        pause()
