"""One move of the threshold slider: the table view against recomputing the regions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.figures import Figure, median_ms
from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.quadripartition import Quadripartition

SIZE = 512
CLASSES = 2
SLICES = (60, 300)


def measure() -> list[Figure]:
    """Time one move at a growing number of slices; the view's cost must not grow."""
    return [figure for slices in SLICES for figure in _one_size(slices)]


def _one_size(slices: int) -> list[Figure]:
    foreground = probabilities(slices)
    quadripartition = Quadripartition(make_prediction(foreground))
    thresholds = iter(np.linspace(0.6, 0.99, 100))

    def move() -> None:
        quadripartition.set_thresholds([next(thresholds)] * CLASSES)
        np.asarray(quadripartition.regions[slices // 2])
        quadripartition.shares()

    def recompute() -> None:
        _regions_from_probabilities(foreground, next(thresholds))

    ours = median_ms(move, repeats=20)
    note = f"{slices} x {SIZE} x {SIZE}: table, visible slice and exact shares"
    from_maps = Figure("slider move against float maps", ours, median_ms(recompute, 2), "ms", note)
    retake = median_ms(lambda: np.asarray(quadripartition.regions), 2)
    return [from_maps, Figure("slider move against a whole-volume table", ours, retake, "ms", note)]


def probabilities(slices: int) -> npt.NDArray[np.float32]:
    """Foreground probability of both networks, (2, Z, Y, X): a soft ball, slightly shifted."""
    z, y, x = np.ogrid[-1 : 1 : slices * 1j, -1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    maps = [1 / (1 + np.exp(20 * (np.sqrt(z**2 + y**2 + (x - s) ** 2) - 0.6))) for s in (0, 0.02)]
    return np.stack(maps).astype(np.float32)


def make_prediction(foreground: npt.NDArray[np.float32]) -> PredictionPair:
    labels = (foreground > 0.5).astype(np.uint8)
    confidence = np.maximum(foreground, 1 - foreground)
    geometry = Geometry.from_spacing((1.0, 1.0, 1.0), foreground.shape[1:])
    card = PredictionCard(pair_name="benchmark", classes=CLASSES)
    return PredictionPair.from_labels_and_confidence(labels, confidence, geometry, card)


def _regions_from_probabilities(
    foreground: npt.NDArray[np.float32], threshold: float
) -> npt.NDArray[np.uint8]:
    """Compute both soft-max maps, their labels, then the four regions."""
    first, second = (np.stack([1 - p, p]) for p in foreground)
    label = second.argmax(0)
    discrepant = first.argmax(0) != label
    suspicious = second.max(0) <= np.full(CLASSES, threshold)[label]
    return (1 + suspicious + 2 * discrepant).astype(np.uint8)


if __name__ == "__main__":
    from benchmarks.figures import report

    report(measure())
