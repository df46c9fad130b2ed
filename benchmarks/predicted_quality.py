"""The predicted quality of unlabeled volumes against labels that the project does not know.

    python -m benchmarks.predicted_quality PROJECT LABELS

PROJECT is predicted by its current pair; LABELS is a folder with ``NAME.nii.gz`` for those of
its unlabeled volumes that are to be compared. Given are the rank correlation of each figure
with the true mean Dice, and the mean absolute error of the predicted Dice beside that of the
simplest guess, the mean Dice of the validation volumes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from napari_metassl.data.project import Project
from napari_metassl.data.volume_figures import keep_figures, make_figures
from napari_metassl.data.volume_io import read_labels
from napari_metassl.data.volume_queue import QueueEntry, VolumeQueue, VolumeStatus


def measure(project: Project, labels: Path) -> dict[str, Any]:
    """Compare what the queue says of unlabeled volumes with the truth."""
    entries = {
        record.name: QueueEntry(
            record.name, record.role, VolumeStatus.PREDICTED, keep_figures(project, record.name)
        )
        for record in project.volumes()
    }
    queue = VolumeQueue(entries)
    unlabeled = [
        entry
        for entry in entries.values()
        if entry.role == "unlabeled" and (labels / f"{entry.name}.nii.gz").exists()
    ]
    true = np.array([true_dice(project, entry.name, labels) for entry in unlabeled])
    figures = [entry.figures for entry in unlabeled if entry.figures is not None]
    assert len(figures) == len(unlabeled), "predict the project first"
    ranks = {
        "discrepant share": [f.discrepant_share for f in figures],
        "agreement Dice": [f.mean_agreement for f in figures],
        "expected Dice": [f.expected_dice for f in figures],
    }
    known = [e.figures for e in entries.values() if e.role == "validation" and e.figures]
    learned = queue.calibration(figures[0].pair_sha256)
    found: dict[str, Any] = {
        "volumes": len(unlabeled),
        "true Dice": [round(float(true.mean()), 3), round(float(true.std()), 3)],
        "rank correlation": {k: round(float(spearmanr(v, true)[0]), 2) for k, v in ranks.items()},
    }
    if learned is not None:
        told = np.array([queue.quality(entry).dice for entry in unlabeled], float)
        guess = float(np.mean([f.mean_dice for f in known]))
        found |= {
            "learned from": learned.volumes,
            "said to be off by": round(learned.error, 3),
            "is off by": round(float(np.abs(told - true).mean()), 3),
            "the mean is off by": round(float(np.abs(guess - true).mean()), 3),
        }
    return found


def true_dice(project: Project, name: str, labels: Path) -> float:
    """Mean Dice of a stored prediction against a label from elsewhere."""
    prediction = project.prediction(name)
    assert prediction is not None, name
    dice = make_figures(prediction, read_labels(labels / f"{name}.nii.gz").data).mean_dice
    assert dice is not None, name
    return dice


if __name__ == "__main__":
    print(json.dumps(measure(Project.open(Path(sys.argv[1])), Path(sys.argv[2])), indent=1))
