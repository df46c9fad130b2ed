"""One stroke to the disk, and a journal of 1,000 strokes read again, at 300 x 512 x 512."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, median_ms
from benchmarks.slider import SIZE, make_prediction, probabilities
from napari_metassl.data.corrections import Corrections
from napari_metassl.data.table_view import TableView

SLICES = 300
STROKES = 1000
RADIUS = 12


def measure() -> list[Figure]:
    """Paint strokes as a brush does; the baselines write the whole volume, and read it."""
    merged = make_prediction(probabilities(SLICES)).merged_view()
    with tempfile.TemporaryDirectory() as folder:
        corrections = Corrections.open(Path(folder), "large", merged.shape)
        times = [_stroke(corrections, merged, number) for number in range(STROKES)]
        labels = corrections.labels.copy()
        corrections.close()
        size = (Path(folder) / "large.jsonl").stat().st_size / 2**20
        replay = median_ms(lambda: _reopened(Path(folder), merged.shape, labels), 3)
        whole = Path(folder) / "whole.npz"
        write = median_ms(lambda: np.savez_compressed(whole, labels), 1)
        read = median_ms(lambda: np.load(whole)["arr_0"], 3)
    note = f"{SLICES} x {SIZE} x {SIZE}, brush of {2 * RADIUS + 1} voxels, one slice"
    slowest = f"slowest hundredth {np.percentile(times, 99):.1f} ms"
    return [
        Figure("stroke to disk (fsync)", statistics.median(times), write, "ms", note),
        Figure("its slowest hundredth", float(np.percentile(times, 99)), write, "ms", slowest),
        Figure(
            f"replay of {STROKES} strokes", replay, read, "ms", f"journal {size:.1f} MiB; {note}"
        ),
    ]


def _stroke(corrections: Corrections, merged: TableView, number: int) -> float:
    """Paint a stroke along a line and record it; ms for the record."""
    rng = np.random.default_rng(number)
    z = int(rng.integers(0, SLICES))
    start, stop = rng.integers(RADIUS + 60, SIZE - RADIUS - 60, 2), rng.integers(-60, 60, 2)
    y, x = np.ogrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    disk = y**2 + x**2 <= RADIUS**2
    for part in np.linspace(0, 1, 20):
        cy, cx = np.rint(start + part * stop).astype(int)
        box = (slice(cy - RADIUS, cy + RADIUS + 1), slice(cx - RADIUS, cx + RADIUS + 1))
        corrections.labels[z][box][disk] = number % 2 * 254 + 1
    low, high = np.minimum(start, start + stop), np.maximum(start, start + stop)
    region = (
        slice(z, z + 1),
        *(slice(int(a) - RADIUS, int(b) + RADIUS + 1) for a, b in zip(low, high, strict=True)),
    )
    begin = time.perf_counter()
    corrections.record("paint", region, merged)
    return 1000 * (time.perf_counter() - begin)


def _reopened(folder: Path, shape: tuple[int, ...], labels: np.ndarray) -> None:
    with Corrections.open(folder, "large", shape) as corrections:
        assert len(corrections.history) == STROKES
        assert np.array_equal(corrections.labels[0], labels[0])


if __name__ == "__main__":
    from benchmarks.figures import report

    report(measure())
