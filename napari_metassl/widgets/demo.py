"""``napari-metassl demo``: the sample project in the window, or one scripted walk through the loop.

The walk does what a person would, through the same buttons, sliders and keys, in the real window,
and leaves a screenshot of every station and a short report.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_metassl.data.project import Project
from napari_metassl.data.sample import sample_project
from napari_metassl.errors import JobProblem, MetaSSLError
from napari_metassl.jobs.job import JobStatus

PROJECT = "project"
VOLUME = "p08"
"""The volume under review: unlabeled, thick walls and low contrast, so there is much to correct."""
STEPS = 40
"""Training steps of the walk: enough to see the loss move, not enough to promise anything."""
PATIENCE_S = 600


def run_demo(output: Path, headless: bool) -> str:
    """Open the sample project; `headless` walks through the loop on a virtual screen instead.

    Parameters
    ----------
    output
        Folder for the project; the walk adds ``1-*.png`` ... and ``report.md``.
    headless
        Do not wait for a person. Without a display the program starts itself again under Xvfb.

    Returns
    -------
    str
        Where to look now, in a sentence.

    Raises
    ------
    MetaSSLError
        If there is neither a display nor Xvfb.
    """
    if headless and sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        _start_again_under_xvfb(output)
        return f"Look at {output.resolve()}: report.md tells the walk, with its screenshots."
    folder = demo_project(output / PROJECT, start_anew=headless)
    from napari_metassl.widgets.main import open_window

    widget = open_window(folder, block=not headless)
    if headless:
        from napari_metassl.widgets.demo_walk import Walk

        report = Walk(widget, output).go()
        return f"Walked through the loop; the report is {report.resolve()}."
    return f"The sample project stays in {folder.resolve()}."


def demo_project(folder: Path, *, start_anew: bool) -> Path:
    """Make the sample project, or find it again, with the volumes of the demo predicted."""
    if start_anew:
        shutil.rmtree(folder, ignore_errors=True)
    if not (folder / "project.json").exists():
        sample_project(folder).close()
    with_prediction(Project.open(folder), (VOLUME,))
    return folder


def with_prediction(project: Project, volumes: tuple[str, ...]) -> None:
    """Predict volumes with the project's pair, where that has not been done, and wait for it."""
    from napari_metassl.jobs.local import LocalExecutor
    from napari_metassl.jobs.specs import PredictSpec

    missing = tuple(name for name in volumes if not project.prediction_folder(name).exists())
    if not missing:
        return
    pair = project.pair_path()
    if pair is None:
        raise MetaSSLError(
            "The sample data holds no model pair to predict with. Make it with "
            "`python sample_data/train_pair.py`."
        )
    spec = PredictSpec(project=project.folder, pair=pair, volumes=missing)
    job = LocalExecutor().submit(spec)
    wait_for(lambda: job.status.is_over, "the prediction")
    if job.status is not JobStatus.SUCCEEDED:
        raise JobProblem(job.snapshot().error or "The prediction of the sample volumes failed.")


def wait_for(
    ready: Callable[[], bool], what: str, pause: Callable[[], Any] = lambda: time.sleep(0.2)
) -> None:
    """Wait until `ready`; `pause` is called between two looks."""
    end = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > end:
            raise JobProblem(
                f"Waited {PATIENCE_S} s for {what} in vain; see the log in the job's folder."
            )
        pause()


def _start_again_under_xvfb(output: Path) -> None:
    xvfb = shutil.which("xvfb-run")
    if xvfb is None:
        raise MetaSSLError(
            "There is no display and no xvfb-run, expected one of them. Log in with a display, "
            "or install Xvfb (Debian: apt-get install xvfb)."
        )
    screen = ["-a", "-s", "-screen 0 1440x900x24"]
    command = [sys.executable, "-m", "napari_metassl", "demo", "--headless", "--output"]
    environment = os.environ | {"LIBGL_ALWAYS_SOFTWARE": "1"}
    done = subprocess.run([xvfb, *screen, *command, str(output)], env=environment, check=False)
    if done.returncode:
        raise JobProblem(f"The demo ended with exit code {done.returncode}; its words are above.")


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
