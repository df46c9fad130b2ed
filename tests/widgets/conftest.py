"""One viewer per file of tests, the window in it, and the made-up project."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

os.environ["NAPARI_CONFIG"] = ""  # nothing of a test stays in anybody's settings

from made_up_project import FakeExecutor, make_project
from qtpy.QtCore import QSettings
from qtpy.QtTest import QTest
from window_driver import Window

from napari_metassl.data.project import Project


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path) -> None:
    """Keep what a person opened last out of the tests, and the tests out of theirs."""
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "ini"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project's folder, on disk; nobody has it open."""
    return make_project(tmp_path)


@pytest.fixture(scope="module")
def viewer(qapp: Any) -> Iterator[Any]:
    """One viewer for all tests of a file: making one takes seconds."""
    import napari
    import vispy.gloo.glir
    from napari._qt.qt_viewer import QtViewer

    # Mesa's software renderer of Debian 12 can crash at the next draw after a program is deleted.
    vispy.gloo.glir.GlirProgram.delete = lambda _self: None
    made = napari.Viewer(show=False, show_welcome_screen=False)
    made.window._qt_window.setGeometry(0, 0, 1440, 900)
    made.window.show()
    QTest.qWaitForWindowExposed(made.window._qt_window)
    yield made
    with patch.object(made.window._qt_window, "_save_current_window_settings"):
        made.close()
    del made
    QTest.qWait(10)
    gc.collect()
    QtViewer._instances.clear()


def forget_preferences() -> None:
    """Begin with the manifest's own: what a test has set stays within its file."""
    from napari import settings

    settings._PLUGIN_SETTINGS.clear()


@pytest.fixture(scope="module")
def shared_window(viewer: Any) -> Iterator[Window]:
    """One panel for all tests of a file; its executor starts nothing."""
    forget_preferences()
    made = Window(viewer, FakeExecutor())
    yield made
    made.close()


@pytest.fixture
def window(shared_window: Window) -> Window:
    """The window as it is when it is new, but for the project of the test before."""
    shared_window.reset()
    return shared_window
