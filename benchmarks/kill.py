"""What is lost when a painting session is killed (SIGKILL) again and again at random moments.

``python -m benchmarks.kill 100`` kills a process that records strokes and exports;
``python -m benchmarks.kill 100 --window`` kills the review window while a mouse paints in it
(needs a display; Xvfb will do). A stroke is finished when its record has returned: the session
then says so in a line of its own, with a checksum of all labels. After every kill each file it
left is opened.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from napari_metassl.data.corrections import Corrections
from napari_metassl.data.export import export
from napari_metassl.data.export_request import ExportRequest
from napari_metassl.data.geometry import Geometry
from napari_metassl.data.project import Project
from napari_metassl.data.project_file import PROJECT_FILE
from napari_metassl.data.volume_io import read_labels, write_volume

SHAPE = (24, 128, 128)
EXPORT_EVERY = 7
LONGEST_S = {"record": 0.35, "window": 2.5}
"""A kill comes after at most so long from the moment the session can paint."""

Tell = Callable[[Corrections], None]


@dataclass
class Killed:
    """What many kills did.

    Attributes
    ----------
    finished
        Strokes whose record had returned.
    lost
        Of these, how many were not found afterwards.
    changed
        Sessions after which the labels were not those the session had said.
    in_flight
        Strokes found that were being written or announced when the kill came.
    torn
        Kills that left half a record behind, which was recognised and set aside.
    unreadable
        Files that could not be opened.
    """

    kills: int = 0
    finished: int = 0
    lost: int = 0
    changed: int = 0
    in_flight: int = 0
    torn: int = 0
    unreadable: int = 0
    seconds: float = 0.0


def make_project(folder: Path) -> Project:
    """Make a project of one volume."""
    geometry = Geometry.from_spacing((2.0, 1.0, 1.0), SHAPE)
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    write_volume(folder / "images" / "p1.nii.gz", image, geometry)
    names = ("background", "atrium", "ventricle")
    return Project.create(folder / "project", folder / "images", class_names=names)


def kill_many(kills: int, folder: Path, seed: int, how: str = "record") -> Killed:
    """Kill sessions at random moments and look at what is left each time."""
    project = make_project(folder)
    result, rng, begin = Killed(), np.random.default_rng(seed), time.perf_counter()
    before = 0
    for _ in range(kills):
        said = _killed_session(project.folder, how, float(rng.random() * LONGEST_S[how]))
        finished, checksum = said or (before, None)
        edits = _reopened(project, result)
        result.kills += 1
        result.finished += finished - before
        result.lost += max(0, finished - len(edits))
        result.in_flight += max(0, len(edits) - finished)
        result.changed += checksum is not None and _checksum_after(edits, finished) != checksum
        before = len(edits)
        _look_at_files(project, result)
    result.seconds = round(time.perf_counter() - begin, 1)
    return result


def _killed_session(folder: Path, how: str, after: float) -> tuple[int, int] | None:
    """Let a session paint, kill it `after` seconds; return what it said last, if anything."""
    command = [sys.executable, "-m", "benchmarks.kill", "--session", how, str(folder)]
    session = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert session.stdout is not None
    assert session.stdout.readline() == "ready\n"
    time.sleep(after)
    os.kill(session.pid, signal.SIGKILL)
    lines = session.stdout.read().split("\n")[:-1]  # a line without its end was being printed
    session.wait()
    return tuple(int(number) for number in lines[-1].split()) if lines else None  # type: ignore[return-value]


def _reopened(project: Project, result: Killed) -> tuple:
    """Open what is left as the next window would, and end well; returns the edits found."""
    torn = project.corrections_folder / "p1.jsonl.torn"
    before = torn.stat().st_size if torn.exists() else 0
    with Corrections.open(project.corrections_folder, "p1", SHAPE) as found:
        result.torn += bool(torn.exists() and torn.stat().st_size > before)
        return found.history


def _checksum_after(edits: tuple, count: int) -> int:
    labels, provenance = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    for edit in edits[:count]:
        edit.runs.apply(labels, provenance)
    return zlib.crc32(labels.tobytes())


def _look_at_files(project: Project, result: Killed) -> None:
    for path in sorted(project.folder.rglob("*")):
        try:
            if path.name == PROJECT_FILE:
                Project.open(path)
            elif path.name.startswith(".part-"):
                path.unlink()  # written aside: it has no name of its own yet
            elif path.parent == project.exports_folder:
                read_labels(path)
        except Exception as problem:  # whatever it is, it must not happen
            print(f"{path}: {problem}", file=sys.stderr)
            result.unreadable += 1


# -- the session that is killed


def tell(corrections: Corrections) -> None:
    """Say that all strokes until now are finished."""
    checksum = zlib.crc32(corrections.labels.tobytes())
    print(len(corrections.history), checksum, flush=True)


def record_for_ever(folder: Path) -> None:
    """Record stroke after stroke, and export now and then."""
    project = Project.open(folder)
    corrections = project.corrections("p1")
    rng = np.random.default_rng(len(corrections.history))
    print("ready", flush=True)
    while True:
        z, y, x = (int(n) for n in rng.integers(0, np.subtract(SHAPE, (2, 40, 40))))
        box = (slice(z, z + 2), slice(y, y + 40), slice(x, x + 40))
        corrections.labels[box][rng.random((2, 40, 40)) < 0.6] = rng.choice([0, 1, 2, 255])
        if corrections.record("paint", box):
            tell(corrections)
        if rng.integers(EXPORT_EVERY) == 0 and corrections.touched.any():
            export(project, ExportRequest(project.exports_folder, report=False, replace=True))


def paint_for_ever(folder: Path) -> None:
    """Paint stroke after stroke with the mouse, in the real window."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    from napari_metassl.widgets.main import open_window

    widget = open_window(folder, block=False)
    while widget.session.busy or widget.session.review is None:
        QTest.qWait(10)
    corrections = widget.session.review.corrections
    widget.session.edited.connect(lambda: tell(corrections))
    canvas = widget.viewer.window._qt_viewer.canvas.native
    rng = np.random.default_rng(len(corrections.history))
    print("ready", flush=True)
    while True:
        widget.session.brush = int(rng.choice([0, 1, 2, 255]))
        widget.session.paint.emit()
        start, by = (QPoint(*(int(n) for n in rng.integers(-90, 90, 2))) for _ in range(2))
        at = canvas.rect().center() + start
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at)
        for step in range(1, 5):
            QTest.mouseMove(canvas, at + by * step / 4)
            QTest.qWait(1)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at + by)
        QTest.qWait(1)


SESSIONS = {"record": record_for_ever, "window": paint_for_ever}


def main() -> None:
    """Be the session that is killed, or kill many and print what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--window", action="store_true")
    parser.add_argument("--session", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.session:
        SESSIONS[given.session[0]](Path(given.session[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        how = "window" if given.window else "record"
        result = kill_many(given.kills, Path(folder), given.seed, how)
    print(json.dumps({"seed": given.seed, **asdict(result)}, indent=1))


if __name__ == "__main__":
    main()
