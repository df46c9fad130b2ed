"""The panel new and empty, and closed in every way: nothing painted is lost."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication
from window_driver import Window

from napari_metassl.data.project import Project


def test_empty_window_says_what_to_do(viewer: Any) -> None:
    window = Window(viewer)
    welcome = window.widget.project_panel.welcome
    assert welcome.isVisible()
    assert "sample" in welcome.sample.text().lower()
    assert window.session.tab == "project"
    window.session.tab = "review"
    assert "Open a project" in window.widget.correction_panel.empty.text()
    window.session.tab = "fine-tune"
    assert "Open a project" in window.widget.fine_tune_panel.form.data.text()
    assert len(window.viewer.layers) == 0
    window.close()


def test_close_the_panel_and_reopen(window: Window, project: Project, viewer: Any) -> None:
    before = len(viewer.layers)
    first = Window(viewer)
    first.open(project.folder)
    layer = next(layer for layer in viewer.layers if layer.data is first.labels)
    layer.data_setitem((np.array([3]), np.array([4]), np.array([5])), 2)
    first.close()
    assert len(viewer.layers) == before  # it takes its own layers with it
    kept = Project.open(project.folder).corrections("p3")
    assert not kept.recovered
    kept.close()

    again = Window(viewer)
    again.open(project.folder)
    assert again.labels[3, 4, 5] == 2
    assert again.session.notice is None  # closed well: nothing to announce
    again.close()


def test_closing_the_main_window_writes_everything(window: Window, project: Project) -> None:
    window.open(project.folder)
    window.viewer.layers["corrections"].data[3, 4, 5] = 1  # behind everybody's back
    QApplication.sendEvent(window.viewer.window._qt_window, QCloseEvent())
    seen = Project.open(project.folder).corrections("p3", writable=False)
    assert seen.labels[3, 4, 5] == 1


def test_the_window_does_not_import_torch(project: Project) -> None:
    code = (
        "import sys, napari; from pathlib import Path;"
        "from napari_metassl.widgets.main import MetaSSLWidget;"
        "from qtpy.QtTest import QTest;"
        "v = napari.Viewer(show=False); w = MetaSSLWidget(v);"
        "v.window.add_dock_widget(w, name='MetaSSL review');"
        f"w.open_project(Path({str(project.folder)!r})); QTest.qWait(1500);"
        "assert w.session.review is not None, w.session.notice;"
        "w.session.tab = 'fine-tune'; w.session.set_threshold(0.5, (1,));"
        "print('torch' in sys.modules, 'monai' in sys.modules); v.close()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split()[-2:] == ["False", "False"], done.stderr
    assert "Traceback" not in done.stderr and "QThread" not in done.stderr
