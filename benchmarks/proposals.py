"""What the proposed corrections are worth: error voxels removed by each, and how long it takes.

    python -m benchmarks.proposals PROJECT TRUTHS [--volume NAME ...] [--sites N]

PROJECT is a project with predictions, TRUTHS a folder with the true labels as NAME.nii.gz. Every
proposal is made for the worst sites of each volume, on the prediction as it is, and counts as
accepted if it removes more error voxels than it makes, as a person who sees the truth would.
Watershed and random walker of scikit-image get the seeds that the package's own walker gets.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy import ndimage
from skimage.segmentation import random_walker, watershed

from napari_metassl.data.project import Project
from napari_metassl.data.proposal import (
    Source,
    WalkersStart,
    propose,
    reach_of,
    seen_mm,
    walkers_start,
)
from napari_metassl.data.surroundings import Surroundings
from napari_metassl.data.volume_io import read_labels
from napari_metassl.widgets.review import Review, load_review

Labels = npt.NDArray[np.integer]
GROWN_MM = 3.0
BETA = 30.0
"""Of scikit-image's walker, whose exponent is a tenth of it times the square; ours has 3."""


@dataclass(frozen=True)
class Try:
    """One proposal at one site.

    Attributes
    ----------
    removed
        Error voxels before minus error voxels after.
    """

    volume: str
    removed: int
    ms: float


def own(source: Source, grow_mm: float = 0.0) -> Callable[[Surroundings], Labels]:
    """Return a proposal of the package."""

    def labels(around: Surroundings) -> Labels:
        proposal = propose(around, source, grow_mm)
        made = around.shown.copy()
        at = np.stack(np.unravel_index(proposal.voxels, around.volume_shape))
        made[tuple(at - around.corner[:, None])] = proposal.labels
        return made

    return labels


def by_watershed(around: Surroundings) -> Labels:
    """Flood the gradient, in grey levels per mm, from the same seeds."""
    start = walkers_start(around, reach_of(Source.IMAGE, 0.0))
    image = around.image[0][start.part]
    slopes = (ndimage.sobel(image, axis=axis) / step for axis, step in enumerate(around.spacing))
    steep = np.sqrt(sum(np.square(slope) for slope in slopes))
    answer = watershed(steep, np.maximum(start.seeds, 0), mask=start.seeds >= 0)
    return decided(around, start, answer)


def by_random_walker(around: Surroundings) -> Labels:
    """Walk on the same seeds as scikit-image does."""
    start = walkers_start(around, reach_of(Source.IMAGE, 0.0))
    seeds, image = start.seeds, around.image[0][start.part].astype(np.float64)
    classes = np.unique(seeds[seeds > 0])
    if len(classes) < 2 or not (seeds == 0).any():
        return around.shown
    numbered = np.where(seeds > 0, np.searchsorted(classes, seeds) + 1, seeds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of islands without a seed
        answer = random_walker(
            image / image.std(), numbered, beta=BETA, mode="cg_j", tol=1e-3, spacing=around.spacing
        )
    return decided(around, start, np.where(answer > 0, classes[np.maximum(answer, 1) - 1], 0))


def decided(around: Surroundings, start: WalkersStart, answer: Labels) -> Labels:
    """Return the labels of the box, given the answer (class + 1, or 0) where it may change."""
    made = around.shown.copy()
    within = np.zeros(answer.shape, bool)
    within[tuple(start.places)] = True
    within &= answer > 0
    made[start.part][within] = answer[within] - 1
    return made


WAYS: dict[str, Callable[[Surroundings], Labels]] = {
    "A's label": own(Source.A),
    "B's label": own(Source.B),
    f"A's label, grown by {GROWN_MM:g} mm": own(Source.A, GROWN_MM),
    f"B's label, grown by {GROWN_MM:g} mm": own(Source.B, GROWN_MM),
    "watershed (scikit-image)": by_watershed,
    "random walker (scikit-image)": by_random_walker,
    "random walker in mm (ours)": own(Source.IMAGE),
    f"the same, grown by {GROWN_MM:g} mm": own(Source.IMAGE, GROWN_MM),
}
TOGETHER = {
    "better of A and B": ("A's label", "B's label"),
    "best of A, B and ours": ("A's label", "B's label", "random walker in mm (ours)"),
}


def measure(review: Review, truth: Labels, sites: int) -> dict[str, list[Try]]:
    """Try every way at the worst sites of a volume."""
    assert review.quadripartition is not None
    images = [image.data for image in review.images]
    untouched = np.zeros(review.shape, np.uint8)
    reach = seen_mm(Source.IMAGE, GROWN_MM)
    tries = defaultdict(list)
    for entry in review.ranked()[:sites]:
        around = Surroundings.of(entry.site, review.quadripartition, images, untouched, reach)
        right = truth[around.box]
        before = int((around.shown != right).sum())
        for name, way in WAYS.items():
            start = time.perf_counter()
            made = way(around)
            ms = 1000 * (time.perf_counter() - start)
            tries[name].append(Try(review.name, before - int((made != right).sum()), ms))
    for name, parts in TOGETHER.items():
        for several in zip(*(tries[part] for part in parts), strict=True):
            tries[name].append(max(several, key=lambda one: one.removed))
    return tries


def summary(tries: list[Try]) -> dict[str, float]:
    """Return figures of one way, with the spread over volumes."""
    volumes = sorted({one.volume for one in tries})
    removed = np.array([one.removed for one in tries])
    accepted = removed > 0
    in_volume = [
        sum(one.removed for one in tries if one.volume == name and one.removed > 0)
        for name in volumes
    ]
    return {
        "proposals": len(tries),
        "accepted": float(accepted.mean()),
        "removed per accepted": float(removed[accepted].mean()) if accepted.any() else 0.0,
        "removed if always taken": float(removed.mean()),
        "removed per volume": float(np.mean(in_volume)),
        "spread over volumes": float(np.std(in_volume, ddof=1)) if len(volumes) > 1 else 0.0,
        "ms, median": float(np.median([one.ms for one in tries])),
        "ms, most": float(max(one.ms for one in tries)),
    }


def main() -> None:
    """Measure and print a table and JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("truths", type=Path)
    parser.add_argument("--volume", action="append", help="only this one; may be given again")
    parser.add_argument("--sites", type=int, default=10, help="of each volume, worst first")
    arguments = parser.parse_args()
    project = Project.open(arguments.project)
    names = arguments.volume or [r.name for r in project.volumes() if r.role != "labeled"]
    tries = defaultdict(list)
    errors = []
    for name in names:
        review = load_review(project, name)
        truth = read_labels(arguments.truths / f"{name}.nii.gz").data
        errors.append(int((np.asarray(review.merged) != truth).sum()))
        for way, found in measure(review, truth, arguments.sites).items():
            tries[way] += found
        review.corrections.close()
    project.close()
    figures = {way: summary(found) for way, found in tries.items()}
    table = Table("proposal", *next(iter(figures.values())))
    for way, row in figures.items():
        values = (f"{value:,.2f}" if abs(value) < 1 else f"{value:,.0f}" for value in row.values())
        table.add_row(way, *values)
    Console(width=170).print(table)
    said = {"volumes": len(names), "errors per volume": float(np.mean(errors)), "ways": figures}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
