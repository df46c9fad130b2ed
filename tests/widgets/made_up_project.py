"""A small made-up project with stored predictions, and jobs that only have a folder."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.model_card import WEIGHT_FILES, ModelCard
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.project import Project
from napari_metassl.data.volume_io import write_labels, write_volume
from napari_metassl.jobs.job import Job, JobStatus
from napari_metassl.method.network_config import NetworkConfig

SHAPE = (20, 48, 56)
SPACING = (2.0, 1.0, 1.0)
CLASSES = ("background", "atrium", "ventricle")
THRESHOLDS = ((0.9, 0.8, 0.7), (0.9, 0.85, 0.75))


def ball(center: tuple[float, ...], radius_mm: float, shape: tuple[int, ...] = SHAPE) -> Any:
    """Distance in mm to the surface of a ball, negative inside, (Z, Y, X)."""
    grid = np.indices(shape, np.float32)
    squares = ((g - c) * s for g, c, s in zip(grid, center, SPACING, strict=True))
    return np.sqrt(sum(d * d for d in squares)) - radius_mm


def anatomy(shift: float = 0.0) -> tuple[Any, Any]:
    """Labels of two touching balls, and how sure one can be: less near a border."""
    atrium = ball((9, 22 + shift, 22), 11)
    ventricle = ball((10, 26, 38), 9 + shift / 2)
    labels = np.zeros(SHAPE, np.uint8)
    labels[ventricle < 0] = 2
    labels[atrium < 0] = 1
    border = np.minimum(np.abs(atrium), np.abs(ventricle))
    return labels, 1.0 - 0.45 * np.exp(-border / 1.5)


def make_prediction() -> PredictionPair:
    """Two networks that differ along borders and about one extra ball each."""
    a, sure_a = anatomy()
    b, sure_b = anatomy(shift=2.0)
    a[ball((5, 10, 44), 4) < 0] = 1  # only network A sees something here
    b[ball((14, 38, 12), 5) < 0] = 2  # only network B sees something here
    b[2:4, 43:45, 50:52] = 1  # a speck
    sure_a[ball((5, 10, 44), 5) < 0] = 0.6
    sure_b[ball((14, 38, 12), 6) < 0] = 0.65
    card = PredictionCard(pair_name="first", classes=3, thresholds=THRESHOLDS)
    geometry = Geometry.from_spacing(SPACING, SHAPE)
    return PredictionPair.from_labels_and_confidence(
        np.stack([a, b]), np.stack([sure_a, sure_b]), geometry, card
    )


def make_project(folder: Path) -> Project:
    """Six volumes: p0 and p1 labeled, p2 for validation, the others not; p3, p4 predicted."""
    generator = np.random.default_rng(0)
    geometry = Geometry.from_spacing(SPACING, SHAPE)
    truth, _ = anatomy(shift=1.0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for n in range(6):
        image = 90.0 * (truth == 1) + 60.0 * (truth == 2) + 40 + 12 * generator.normal(size=SHAPE)
        write_volume(folder / "images" / f"p{n}.nii.gz", image.astype(np.float32), geometry)
        if n < 3:
            write_labels(folder / "labels" / f"p{n}.nii.gz", truth, geometry)
    project = Project.create(
        folder / "project",
        folder / "images",
        labels=folder / "labels",
        labeled=["p0", "p1"],
        validation=["p2"],
        class_names=CLASSES,
        name="hearts",
    )
    for name in ("p3", "p4"):
        make_prediction().save(project.prediction_folder(name))
    return project


class FakeExecutor:
    """Makes job folders as the real one does, and starts nothing."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, spec: Any) -> Job:
        job = Job.create(spec.project / "jobs", spec.model_dump(mode="json"), kind=spec.kind)
        self.jobs.append(job)
        return job


def set_status(job: Job, status: JobStatus, message: str = "", error: str = "") -> None:
    """Write what a worker would: where the job stands."""
    state = job.state()
    changes = {"status": status, "message": message, "error": error}
    job.write_state(state.model_copy(update=changes))


def add_pair(project: Project, name: str, thresholds: Any = THRESHOLDS) -> None:
    """Put a pair into the project; what its weights hold is never read by the window."""
    network = NetworkConfig(architecture="BasicUNet", classes=3)
    card = ModelCard(
        name=name,
        class_names=CLASSES,
        supervised=network,
        reference=network,
        thresholds=thresholds,
        patch_size=(16, 32, 32),
        sha256=dict.fromkeys(WEIGHT_FILES, sha256(name.encode()).hexdigest()),
    )
    folder = project.pairs_folder / name
    folder.mkdir(parents=True)
    for file in WEIGHT_FILES:
        (folder / file).write_bytes(name.encode())
    (folder / "card.json").write_text(card.model_dump_json(), encoding="utf-8")
