"""One move of the slider in the real window, at 300 x 512 x 512, until the slice is drawn."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure, median_ms
from benchmarks.slider import SIZE, make_prediction, probabilities
from napari_metassl.data.project import Project
from napari_metassl.data.sites import SiteIndex
from napari_metassl.data.volume_io import write_volume

SLICES = 300


def measure() -> list[Figure]:
    """Open such a volume and drag the slider; needs a display (Xvfb will do)."""
    from qtpy.QtWidgets import QApplication

    from napari_metassl.widgets.main import open_window

    with tempfile.TemporaryDirectory() as folder:
        project = _project(Path(folder))
        start = time.perf_counter()
        widget = open_window(project, block=False)
        widget.viewer.window.resize(1440, 900)
        while widget.session.busy or widget.session.review is None:
            QApplication.processEvents()
            time.sleep(0.01)
        opened = time.perf_counter() - start
        figures = _moves(widget, f"{SLICES} x {SIZE} x {SIZE}, opened in {opened:.1f} s")
        widget.viewer.close()
    return figures


def _moves(widget: Any, note: str) -> list[Figure]:
    from qtpy.QtWidgets import QApplication

    slider = widget.regions_panel.all_classes.slider
    layer = widget.viewer.layers["regions"]
    positions = iter(range(400, 1000, 4))

    def move() -> None:
        slider.setValue(next(positions))
        QApplication.processEvents()

    ours = median_ms(move, repeats=40)
    view = layer.data

    def exchange() -> None:
        slider.setValue(next(positions))
        layer.data = np.asarray(view)
        QApplication.processEvents()

    baseline = median_ms(exchange, repeats=4)
    layer.data = view
    return [
        Figure("slider move in the window, drawn", ours, baseline, "ms", note),
        _list_after_rest(widget, note),
    ]


def _list_after_rest(widget: Any, note: str) -> Figure:
    """Time the list of sites in the window, against finding the sites again."""
    from qtpy.QtWidgets import QApplication

    def rest() -> None:
        widget.correction_panel.sites.refresh()
        QApplication.processEvents()

    prediction = widget.session.review.prediction
    again = median_ms(lambda: SiteIndex.from_prediction(prediction), 2)
    return Figure("sites listed in the window, drawn", median_ms(rest, 20), again, "ms", note)


def _project(folder: Path) -> Path:
    """Make a project of one large volume with a stored prediction."""
    foreground = probabilities(SLICES)
    prediction = make_prediction(foreground)
    images = folder / "images"
    images.mkdir()
    write_volume(images / "large.nii", (1000 * foreground[0]).astype(np.int16), prediction.geometry)
    names = ("background", "ball")
    project = Project.create(folder / "project", images, class_names=names)
    prediction.save(project.prediction_folder("large"))
    project.close()
    return folder / "project"


if __name__ == "__main__":
    from benchmarks.figures import report

    report(measure())
