"""``napari-metassl demo``: the sample project in the window, or one scripted walk through the loop.

The walk does what a person would, through the same buttons, sliders and keys, in the real window,
and leaves a screenshot of every station and a short report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from napari_metassl.errors import JobProblem, MetaSSLError
from napari_metassl.widgets.demo_project import demo_project

PROJECT = "project"


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

        report = Walk(widget, folder, output).go()
        return f"Walked through the loop; the report is {report.resolve()}."
    return f"The sample project stays in {folder.resolve()}."


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
