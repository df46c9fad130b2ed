"""One walk through the loop in the real window, with a screenshot of every station."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_metassl.errors import JobProblem
from napari_metassl.jobs.job import JobStatus
from napari_metassl.widgets.demo_project import VOLUME
from napari_metassl.widgets.main import MetaSSLWidget, open_window
from napari_metassl.widgets.session import KEYS, Action, Notice

SIZE = (1440, 900)
SECOND_VOLUME = "p12"
"""The volume that the walk lets the pair predict: large right ventricle, strong bias field."""
PATIENCE_S = 600
STEPS = 40
"""Training steps of the walk: enough to see the loss move, not enough to promise anything."""
LEFT = Qt.MouseButton.LeftButton


class Walk:
    """Predict, move the slider, accept a site, paint, fine-tune, compare, close, open again.

    Parameters
    ----------
    widget
        The panel in its window.
    project
        Folder of the demo project, which is open there.
    output
        Folder for the screenshots and the report.
    """

    def __init__(self, widget: MetaSSLWidget, project: Path, output: Path) -> None:
        self.widget, self.project, self.output = widget, project, output
        self.stations: dict[str, dict[str, Any]] = {}

    def go(self) -> Path:
        """Walk, and return the report."""
        self._arrive()
        self._see("opened", {"volume": self.session.volume, **self._shares()})
        self._predict()
        self._move_slider()
        self._accept_site()
        self._paint()
        self._fine_tune()
        self._reopen()
        self._leave()
        return write_report(self.output, {"stations": self.stations})

    @property
    def session(self) -> Any:
        """State of the window."""
        return self.widget.session

    # -- the stations

    def _arrive(self) -> None:
        self.widget.viewer.window.resize(*SIZE)
        self.widget.preferences.leave_alone()
        self.session.volume = VOLUME
        self._settle()

    def _predict(self) -> None:
        self.session.tab = "project"
        self.session.volume = SECOND_VOLUME
        self._settle()
        self._click(self.widget.project_panel.prediction.one)
        self._wait(lambda: self.session.prediction_job is not None, "the prediction to start")
        self._wait(lambda: self.session.prediction_job.status.is_over, "the prediction")
        self._settle()
        self._see("predicted", {"volume": SECOND_VOLUME, **self._shares()})
        self.session.tab = "review"
        self.session.volume = VOLUME
        self._settle()

    def _move_slider(self) -> None:
        before = self._shares()
        slider = self.widget.regions_panel.all_classes.slider
        handle = slider.value() / slider.maximum()  # beside it, a press only moves by a page
        places = (handle, handle - 0.15)
        start, stop = (QPoint(int(slider.width() * at), slider.height() // 2) for at in places)
        self._drag(slider, start, stop)
        after = self._shares()
        moved = {f"{name}, adaptive": share for name, share in before.items()}
        self._see("slider moved", moved | {f"{name}, now": share for name, share in after.items()})

    def _accept_site(self) -> None:
        self.session.go_on = False
        self._press(Action.NEXT)
        self._see("at the worst site", {"sites": len(self.session.review.ranked())})
        self._press(Action.TAKE_B)
        self._see("network Bs label taken", self._corrected())

    def _paint(self) -> None:
        self._click(self.widget.correction_panel.brush.buttons[1])
        canvas = self._canvas()
        middle = canvas.rect().center()
        self._drag(canvas, middle + QPoint(-40, -20), middle + QPoint(40, 20))
        self._see("painted", self._corrected())

    def _fine_tune(self) -> None:
        self.session.tab = "fine-tune"
        form = self.widget.fine_tune_panel.form
        form.steps.setValue(STEPS)
        self._click(form.start)
        self._wait(lambda: self.session.training_job is not None, "the fine-tuning to start")
        self._wait(lambda: self.session.training_job.step >= STEPS // 2, "half of the fine-tuning")
        self._see("fine-tuning", {"step": self.session.training_job.step, "of": STEPS})
        self._wait(lambda: self.session.training_job.status.is_over, "the fine-tuning")
        job = self.session.training_job
        facts = {"status": str(job.status)}
        if job.status is JobStatus.SUCCEEDED:
            comparison = (self.session.training_result or {}).get("comparison") or {}
            facts["verdict"] = str(comparison.get("sentence"))
        self._see("old and new pair compared", facts)

    def _reopen(self) -> None:
        before = self._corrected()
        self.widget.viewer.close()
        self.widget = open_window(self.project, block=False)
        self._arrive()
        self._see("closed and opened again", {"before": before, "after": self._corrected()})

    def _leave(self) -> None:
        self.widget.viewer.close()

    # -- what a person does

    def _press(self, action: Action) -> None:
        canvas = self._canvas()
        canvas.setFocus()
        QTest.keyClick(canvas, KEYS[action])
        self._settle()

    def _click(self, button: QWidget) -> None:
        QTest.mouseClick(button, LEFT)
        self._settle()

    def _drag(self, widget: QWidget, start: QPoint, stop: QPoint) -> None:
        QTest.mouseMove(widget, start)
        QTest.mousePress(widget, LEFT, pos=start)
        for step in range(1, 9):
            QTest.mouseMove(widget, start + (stop - start) * step / 8)
            QTest.qWait(20)
        QTest.mouseRelease(widget, LEFT, pos=stop)
        self._settle()

    def _canvas(self) -> QWidget:
        """Return the canvas: what a person's mouse finds left of the panels' middle."""
        canvas: QWidget = self.widget.viewer.window._qt_viewer.canvas.native
        return canvas

    def _settle(self) -> None:
        QTest.qWait(50)
        self._wait(lambda: not self.session.busy, "the volume")
        QTest.qWait(250)

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not ready():
            if time.monotonic() > end:
                raise JobProblem(
                    f"Waited {PATIENCE_S} s for {what} in vain; see the log in the job's folder."
                )
            QTest.qWait(100)

    # -- what it saw

    def _shares(self) -> dict[str, str]:
        partition = self.session.review.quadripartition
        if partition is None:
            return {}
        percent, ml = partition.shares_percent(), partition.shares_ml()
        return {r.name: f"{percent[r]:.2f} % ({ml[r]:.1f} mL)" for r in percent}

    def _corrected(self) -> dict[str, int]:
        corrections = self.session.review.corrections
        return {
            "voxels seen": int((corrections.provenance > 0).sum()),
            "edits in the journal": len(corrections.history),
        }

    def _see(self, station: str, facts: dict[str, Any]) -> None:
        """Take a screenshot and note the facts, and what the window says."""
        QTest.qWait(200)
        picture = f"{len(self.stations) + 1}-{station.replace(' ', '-')}.png"
        window = self.widget.window()
        screen = QApplication.primaryScreen()
        assert window is not None and screen is not None
        window.grab().save(str(self.output / picture))
        notice: Notice | None = self.session.notice
        said = {"the window says": notice.text} if notice is not None else {}
        self.stations[station] = {"picture": picture, "facts": facts | said}


def write_report(output: Path, facts: dict[str, Any]) -> Path:
    """Write what the walk did and saw, as ``report.json`` and readable as ``report.md``."""
    (output / "report.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    lines = ["# One walk through the loop", ""]
    for station, said in facts["stations"].items():
        lines += [f"## {station}", "", f"![{station}]({said['picture']})", ""]
        lines += [f"- {what}: {value}" for what, value in said["facts"].items()] + [""]
    path = output / "report.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
