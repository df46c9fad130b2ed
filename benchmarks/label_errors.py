"""How much of the noise in a phantom's label the list of possible label errors finds.

    python -m benchmarks.label_errors [PROJECT]

Without PROJECT, a sample project is made and predicted by the pair that comes with it, which was
not trained on the spoiled label. The true label of the spoiled phantom is made again from its
seed. A place is a hit if more than half of its voxels are noise. The other labels are right, so
every place listed there is a false alarm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_metassl.data.label_errors import LabelError, find_label_errors
from napari_metassl.data.project import Project
from napari_metassl.data.sample import sample_data_path, sample_project
from napari_metassl.data.volume_io import read_labels

FIRST = (1, 2, 3, 5, 10, 20)


def main() -> None:
    """Measure, print a table and the same as JSON."""
    spoiled = json.loads((sample_data_path() / "split.json").read_text("utf-8"))["noisy"]
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        project = Project.open(Path(sys.argv[1])) if sys.argv[1:] else predicted(folder / "sample")
        truths = make_truths(folder, spoiled)
        for roles in (("labeled",), ("labeled", "validation")):
            print(json.dumps(measure(project, truths, roles), indent=1))


def predicted(folder: Path) -> Project:
    """Make the sample project and predict what has labels."""
    project = sample_project(folder)
    names = [record.name for record in project.volumes() if record.labels is not None]
    run("-m", "napari_metassl", "predict", str(folder), *names)
    return project


def make_truths(folder: Path, names: list[str]) -> dict[str, npt.NDArray[Any]]:
    """Make the true labels of the spoiled phantoms."""
    script = sample_data_path() / "make_phantoms.py"
    places = ("--out", str(folder / "made"), "--with-truth", str(folder / "truth"))
    run(str(script), *places, "--only", *names)
    return {name: read_labels(folder / "truth" / f"{name}.nii.gz").data for name in names}


def measure(
    project: Project, truths: dict[str, npt.NDArray[Any]], roles: tuple[str, ...]
) -> dict[str, Any]:
    """Precision and recall of the first places of the list, over volumes of some roles."""
    places: list[tuple[LabelError, float]] = []
    noise_ml = 0.0
    for record in project.volumes():
        prediction = project.prediction(record.name)
        labels = project.load_labels(record.name)
        if record.role not in roles or prediction is None or labels is None:
            continue
        wrong = labels.data != truths.get(record.name, labels.data)
        noise_ml += float(wrong.sum()) * labels.geometry.voxel_volume_ml
        for error in find_label_errors(prediction, labels.data):
            places.append((error, float(wrong.reshape(-1)[error.voxels].mean())))
    places.sort(key=lambda place: -place[0].ml)
    return {
        "roles": roles,
        "places": len(places),
        "noise_ml": round(noise_ml, 2),
        "first": {
            first: {
                "precision": round(float(np.mean([share > 0.5 for _, share in top])), 2),
                "voxel_precision": round(found / sum(error.ml for error, _ in top), 2),
                "recall_ml": round(found / noise_ml, 2),
            }
            for first in FIRST
            for top in [places[:first]]
            for found in [sum(error.ml * share for error, share in top)]
            if top
        },
    }


def run(*arguments: str) -> None:
    """Run Python with these arguments, its words going to stderr."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
