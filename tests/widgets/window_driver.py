"""The review window as tests drive it: with mouse and keys, as a person would."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_metassl.widgets.main import TITLE, MetaSSLWidget
from napari_metassl.widgets.session import Session


class Window:
    """A viewer with the dock widget, and what a test does with it."""

    def __init__(self, viewer: Any, executor: Any = None) -> None:
        self.viewer = viewer
        self.executor = executor
        self.widget: Any = MetaSSLWidget(viewer, executor)
        self.session = self.widget.session
        viewer.window.add_dock_widget(self.widget, name=TITLE, area="right")
        QTest.qWait(20)

    @property
    def canvas(self) -> Any:
        """The widget that shows the slice and takes mouse and keys."""
        return self.viewer.window._qt_viewer.canvas.native

    @property
    def labels(self) -> Any:
        """The corrections of the volume on display, (Z, Y, X)."""
        return self.session.review.corrections.labels

    def open(self, folder: Path, volume: str | None = None) -> None:
        """Open a project and wait for its volume."""
        self.widget.open_project(folder)
        if volume is not None:
            self.session.volume = volume
        self.wait()

    def wait(self) -> None:
        """Wait until nothing is being loaded."""
        wait_until(lambda: not self.session.busy)
        QTest.qWait(20)  # what is new is laid out and drawn

    def key(self, key: Qt.Key, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key over the canvas."""
        QTest.keyClick(self.canvas, key, modifier)

    def drag(self, start: tuple[int, int], stop: tuple[int, int]) -> None:
        """Draw with the left button, in pixels from the middle of the canvas."""
        middle = self.canvas.rect().center()
        first, last = middle + QPoint(*start), middle + QPoint(*stop)
        QTest.mouseMove(self.canvas, first)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=first)
        for step in range(1, 5):
            QTest.mouseMove(self.canvas, first + (last - first) * step / 4)
            QTest.qWait(2)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=last)
        QTest.qWait(10)

    def reset(self) -> None:
        """Forget what the test before has set, except its project: layers are costly to make."""
        fresh = Session()
        shown = ("reference", "visible_regions", "proposed", "listing", "tab", "notice")
        kept = ("reach_mm", "show_reach", "go_on", "show_provenance", "annotator")
        for name in (*shown, *kept, "brush", "ball", "ball_mm"):
            setattr(self.session, name, getattr(fresh, name))
        self.viewer.dims.ndisplay = 2
        self.executor.jobs.clear()

    def close(self) -> None:
        """Take the panel out of the window, as its button does."""
        if self.widget is not None:
            self.viewer.window.remove_dock_widget(self.widget)
            self.widget.deleteLater()
        self.widget = None


def click(button: Any) -> None:
    """Press a button that can be seen and pressed."""
    assert button.isVisible() and button.isEnabled(), button.text()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Let the window work until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        QTest.qWait(10)
