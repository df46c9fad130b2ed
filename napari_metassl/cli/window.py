"""``review`` and ``demo``: the only commands that open a window."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from napari_metassl.cli.console import say
from napari_metassl.cli.options import ProjectArgument
from napari_metassl.errors import MetaSSLError


def review(project: ProjectArgument) -> None:
    """Open the project in napari: look, correct, fine-tune."""
    from napari_metassl.data.project import Project

    folder = Project.open(project).folder  # a wrong folder is told before the window opens
    if not has_display():
        raise MetaSSLError(
            "There is no display to open a window on; log in with one, or run the command under "
            "`xvfb-run`."
        )
    from napari_metassl.widgets.main import open_window

    open_window(folder)


def demo(
    output: Annotated[Path, typer.Option(help="Folder for the project and what it leaves.")] = Path(
        "napari-metassl-demo"
    ),
    headless: Annotated[
        bool, typer.Option("--headless", help="Walk through the loop and leave screenshots.")
    ] = False,
) -> None:
    """Open the sample project; without a display, walk once through the whole loop."""
    from napari_metassl.widgets.demo import run_demo

    say(run_demo(output, headless or not has_display()))


def has_display() -> bool:
    """Whether a window can be opened; Qt would end the process without one."""
    if not sys.platform.startswith("linux"):
        return True
    offscreen = os.environ.get("QT_QPA_PLATFORM") in {"offscreen", "minimal", "vnc"}
    return offscreen or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
