"""Importing networks from the window: in a process of its own, answered by one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from window_driver import Window, wait_until

from napari_metassl.data.project import Project

SAVE = """
import sys, torch
from monai.networks.nets import UNet
sizes = {"channels": [4, 8], "strides": [2]}
net = UNet(spatial_dims=3, in_channels=1, out_channels=int(sys.argv[2]), **sizes)
torch.save(net.state_dict(), sys.argv[1])
"""


def bundle(folder: Path, classes: int) -> Path:
    """A small MONAI bundle, written by another process: this one has no torch."""
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True)
    network = {"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": classes}
    definition = {"network_def": network | {"channels": [4, 8], "strides": [2]}}
    (folder / "configs" / "inference.json").write_text(json.dumps(definition), encoding="utf-8")
    command = [sys.executable, "-c", SAVE, str(folder / "models" / "model.pt"), str(classes)]
    subprocess.run(command, check=True)
    return folder


def import_it(window: Window, folder: Path) -> str:
    window.session.notice = None
    window.widget.project_panel.actions_.import_networks(folder)
    assert "Importing" in window.session.busy
    wait_until(lambda: window.session.notice is not None, seconds=60)
    assert not window.session.busy
    return window.session.notice.text


def test_a_bundle_becomes_the_projects_pair(
    window: Window, project: Project, tmp_path: Path
) -> None:
    window.open(project.folder)
    said = import_it(window, bundle(tmp_path / "two", classes=2))
    assert window.session.notice.tone == "error"
    assert "2 classes" in said and "3" in said
    said = import_it(window, bundle(tmp_path / "three", classes=3))
    assert window.session.notice.tone == "good" and "imported-1" in said
    assert window.session.project.file.current_pair == "imported-1"
    assert window.widget.project_panel.pair.choice.currentText() == "imported-1"
