"""The list of sites after the slider has rested, against finding the sites again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import zoom

from benchmarks.figures import Figure, median_ms
from benchmarks.slider import CLASSES, SIZE, SLICES, make_prediction, probabilities
from napari_metassl.data.corrections import Corrections
from napari_metassl.data.quadripartition import Quadripartition
from napari_metassl.data.sites import SiteIndex
from napari_metassl.data.volume import Volume
from napari_metassl.widgets.review import Listing, Review, SiteOrder

LUMP = 24
"""Side in voxels of the lumps and wobbles the two networks differ by."""


def measure() -> list[Figure]:
    """Time one list, with every site's rank, DS volume and status, at two sizes."""
    return [figure for slices in SLICES for figure in _one_size(slices)]


def _one_size(slices: int) -> list[Figure]:
    foreground = probabilities(slices)
    foreground[1] = np.clip(foreground[1] + _wobble(slices), 0, 1)
    prediction = make_prediction(foreground)
    quadripartition = Quadripartition(prediction)
    sites = SiteIndex.from_prediction(prediction)
    review = Review(
        name="large",
        images=(Volume("large", foreground[0], prediction.geometry),),
        labels=None,
        corrections=Corrections("large", prediction.shape, []),
        class_names=("background", "ball"),
        class_colors=("#000000", "#ee3377"),
        prediction=prediction,
        quadripartition=quadripartition,
        sites=sites,
    )
    thresholds = iter(np.tile(np.linspace(0.6, 0.99, 40), 10))

    def rest(listing: Listing) -> None:
        quadripartition.set_thresholds([next(thresholds)] * CLASSES)
        review.ranked(listing)
        review.progress()

    found = median_ms(lambda: SiteIndex.from_prediction(prediction), 2)
    share = len(sites.voxels) / foreground[0].size
    note = f"{slices} x {SIZE} x {SIZE}, {share:.1%} discrepant, {len(sites)} sites"
    every = Listing(by=SiteOrder.UNCERTAINTY, specks=True)
    few = median_ms(lambda: rest(Listing()), 20)
    many = median_ms(lambda: rest(every), 20)
    smaller = f"{note}, {sites.folded} smaller places"
    return [
        Figure("sites listed after a rest", few, found, "ms", note),
        Figure("the same with all smaller places", many, found, "ms", smaller),
    ]


def _wobble(slices: int) -> npt.NDArray[np.float32]:
    """Smooth noise, (Z, Y, X), with which a network wavers along a border and lets lumps go."""
    shape = np.array([slices, SIZE, SIZE])
    coarse = np.random.default_rng(0).normal(size=np.ceil(shape / LUMP).astype(int) + 1)
    fine = zoom(coarse.astype(np.float32), LUMP, order=1)
    noise: npt.NDArray[np.float32] = 0.15 * fine[tuple(slice(n) for n in shape)]
    return noise


if __name__ == "__main__":
    from benchmarks.figures import report

    report(measure())
