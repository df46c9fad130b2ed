"""The demo as a fresh clone runs it: one walk through the whole loop, in processes of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from napari_metassl.data.model_card import list_pairs
from napari_metassl.data.project import Project


def test_the_walk_goes_through_the_whole_loop(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_metassl", "demo", "--headless", "--output"]
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    done = subprocess.run(
        [*command, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    stations = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["stations"]
    assert len(stations) == 9
    for said in stations.values():
        assert (tmp_path / said["picture"]).stat().st_size > 50_000, "an empty picture"
    moved = stations["slider moved"]["facts"]
    before, now = (float(moved[f"US, {when}"].split()[0]) for when in ("adaptive", "now"))
    assert abs(now - before) > 2.0, "dragged, not only moved by a page"
    taken = stations["network Bs label taken"]["facts"]["voxels seen"]
    painted = stations["painted"]["facts"]["voxels seen"]
    assert 0 < taken < painted
    assert "Dice" in stations["old and new pair compared"]["facts"]["verdict"]
    reopened = stations["closed and opened again"]["facts"]
    assert reopened["before"] == reopened["after"]
    project = Project.open(tmp_path / "project")
    assert [card.parent for _, card in list_pairs(project.pairs_folder)] == [None, "sample"]
