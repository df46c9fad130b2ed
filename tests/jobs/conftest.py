"""A project so small that a whole training takes a moment."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.project import Project
from napari_metassl.data.volume_io import write_labels, write_volume
from napari_metassl.jobs.job import Job, JobStatus
from napari_metassl.jobs.local import LocalExecutor
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.method.network_config import NetworkConfig
from napari_metassl.method.training_config import TrainingConfig

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes of the jobs
SIZE = 16


def ball(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image (Z, Y, X) with a bright ball in noise, and its label."""
    rng = np.random.default_rng(seed)
    center = rng.uniform(6, 10, 3)
    grid = np.stack(np.meshgrid(*3 * [np.arange(SIZE)], indexing="ij"), -1)
    label = np.linalg.norm(grid - center, axis=-1) < 5
    image = label * 100 + rng.normal(50, 10, label.shape)
    return image.astype(np.float32), label.astype(np.uint8)


def write_balls(folder: Path, count: int = 6) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    geometry = Geometry.from_spacing((1.0, 1.0, 1.0), (SIZE,) * 3)
    for number in range(count):
        image, label = ball(number)
        write_volume(folder / "images" / f"v{number}.nii.gz", image, geometry)
        write_labels(folder / "labels" / f"v{number}.nii.gz", label, geometry)


def make_project(folder: Path) -> Project:
    """v0, v1 labeled, v2, v3 validation, v4, v5 unlabeled."""
    write_balls(folder)
    return Project.create(
        folder,
        folder / "images",
        labels=folder / "labels",
        labeled=["v0", "v1"],
        validation=["v2", "v3"],
        class_names=["background", "ball"],
    )


def training(**changes) -> TrainingConfig:
    settings = {"steps": 4, "patch_size": (16, 16, 16), "device": "cpu", "learning_rate": 1e-2}
    return TrainingConfig(**(settings | changes))


def train_spec(project: Project, **changes) -> FineTuneSpec:
    network = NetworkConfig(architecture="UNet", classes=2, options={"channels": [4, 8]})
    spec = {
        "project": project.folder,
        "networks": (network, network),
        "training": training(),
        "name": "first",
    }
    return FineTuneSpec(**(spec | changes))


def finished(job: Job, timeout: float = 90) -> Job:
    """Wait for a job that must succeed."""
    snapshot = job.wait(timeout)
    assert snapshot.status is JobStatus.SUCCEEDED, snapshot.error + job.log_end(40)
    return job


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory) -> Path:
    """A project with the pair 'first', made by a job in its own process; never written to."""
    made = make_project(tmp_path_factory.mktemp("trained") / "project")
    finished(LocalExecutor(background=False).submit(train_spec(made)))
    return made.folder


@pytest.fixture
def trained(trained_folder: Path, tmp_path: Path) -> Project:
    """A copy of the project with the pair 'first', to do with as the test likes."""
    shutil.copytree(trained_folder, tmp_path / "project")
    return Project.open(tmp_path / "project")
