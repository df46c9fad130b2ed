"""The whole loop on the left atrium data: train, predict, review in the window, fine-tune, judge.

    xvfb-run -a -s "-screen 0 1440x900x24" python benchmarks/left_atrium_loop.py DATA WORK

DATA is the folder with ``half/images``, ``half/labels``, ``train.txt`` and ``test.txt``; WORK is
where the project is made (steps that are done already are not done again). A scripted annotator
drives the real window and reads the truth only to decide as a person at the screen would. The
test cases are used for nothing but the last figure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LABELED, VALIDATION = 4, 8
FIRST, SECOND = "cps-4-labels", "cps-4-labels-ft1"
SITES_EACH = 8
"""Sites the annotator looks at in one volume, worst first."""
REACHES_MM = (3.0, 1.5, 0.0)
RIGHT_ENOUGH = 0.97
"""Part of a neighbourhood that must be right before the annotator confirms it."""
SURE_ENOUGH = 0.75
"""Part of a site that one network must have right before the annotator takes its label."""


def main() -> None:
    """Run every step and print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--volumes", type=int, default=10, help="volumes under review")
    parser.add_argument("--steps", type=int, default=1200, help="of the first training")
    parser.add_argument("--fine-tune-steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    project = arguments.work / "project"
    facts: dict[str, Any] = {"seed": arguments.seed}
    if not project.exists():
        make_project(arguments.data, arguments.work)
    length = ["--steps", str(arguments.steps), "--seed", str(arguments.seed)]
    if not (project / "pairs" / FIRST).exists():
        patch = ["--patch", "40,64,64", "--validate-every", "300"]
        facts["train"] = timed("train", str(project), "--name", FIRST, *length, *patch)
    facts["predict"] = timed("predict", str(project))
    facts["review"] = review(project, arguments.data / "half" / "labels", arguments.volumes)
    length = ["--steps", str(arguments.fine_tune_steps), "--seed", str(arguments.seed)]
    facts["fine-tune"] = timed("fine-tune", str(project), "--name", SECOND, *length)
    facts["test"] = {
        pair: on_test(arguments.work, project / "pairs" / pair) for pair in (FIRST, SECOND)
    }
    print(json.dumps(facts, indent=1))
    (arguments.work / "figures.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def make_project(data: Path, work: Path) -> None:
    """Make a project of the training volumes, and folders of links to the test cases."""
    train = (data / "train.txt").read_text(encoding="utf-8").split()
    test = (data / "test.txt").read_text(encoding="utf-8").split()
    for kind, names in (("train", train), ("test", test)):
        for part in ("images", "labels"):
            folder = work / f"{kind}-{part}"
            folder.mkdir(exist_ok=True)
            for name in names:
                source = data / "half" / part / f"{name}.nii.gz"
                (folder / source.name).symlink_to(source.resolve())
    lists = {"labeled": train[:LABELED], "validation": train[-VALIDATION:]}
    options = []
    for role, names in lists.items():
        (work / f"{role}.txt").write_text("\n".join(names), encoding="utf-8")
        options += [f"--{role}", str(work / f"{role}.txt")]
    folders = ["--images", str(work / "train-images"), "--labels", str(work / "train-labels")]
    classes = ["--classes", "background,left atrium"]
    timed("new", str(work / "project"), *folders, *options, *classes)


def timed(*command: str) -> dict[str, Any]:
    """Run one command of the program; its last words and its minutes."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "napari_metassl", *command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    minutes = (time.monotonic() - start) / 60
    return {"says": done.stdout.strip().splitlines()[-3:], "minutes": round(minutes, 2)}


def on_test(work: Path, pair: Path) -> dict[str, Any]:
    """Score a pair on the test cases."""
    folders = ["--images", str(work / "test-images"), "--labels", str(work / "test-labels")]
    command = [sys.executable, "-m", "napari_metassl", "evaluate", "--pair", str(pair), "--json"]
    done = subprocess.run([*command, *folders], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def review(project: Path, truths: Path, volumes: int) -> dict[str, Any]:
    """Open the window and walk through the worst sites of some unlabeled volumes."""
    from napari_metassl.widgets.main import open_window

    start = time.monotonic()
    widget = open_window(project, block=False)
    session = widget.session
    names = [record.name for record in session.project.volumes("unlabeled")][:volumes]
    cases = {}
    for name in names:
        session.volume = name
        _wait(lambda: not session.busy)
        cases[name] = Annotator(widget, _truth(truths / f"{name}.nii.gz")).walk()
    widget.viewer.close()
    return {
        "volumes": len(names),
        "minutes": round((time.monotonic() - start) / 60, 2),
        **{what: sum(case[what] for case in cases.values()) for what in next(iter(cases.values()))},
    }


class Annotator:
    """Looks at each site, takes the better label, and says how much around it is right."""

    def __init__(self, widget: Any, truth: npt.NDArray[np.integer]) -> None:
        self.widget, self.truth = widget, truth.reshape(-1)
        self.session = widget.session
        self.review = widget.session.review
        self.shown = np.asarray(self.review.merged).reshape(-1)
        self.counts = dict.fromkeys(("took A", "took B", "skipped", "voxels seen", "seen right"), 0)

    def walk(self) -> dict[str, int]:
        """Answer the worst sites; return what was done."""
        self.session.go_on = False
        worst = [entry.site for entry in self.review.ranked()[:SITES_EACH]]
        for site in worst:
            self.session.site = site.id
            _pause()
            self._answer(site)
        labels = self.review.corrections.as_training_labels().reshape(-1)
        seen = labels >= 0
        self.counts["voxels seen"] = int(seen.sum())
        self.counts["seen right"] = int((labels[seen] == self.truth[seen]).sum())
        return self.counts

    def _answer(self, site: Any) -> None:
        said = [self.review.prediction.label(n).reshape(-1)[site.voxels] for n in (0, 1)]
        right = [float((labels == self.truth[site.voxels]).mean()) for labels in said]
        better = int(right[1] > right[0])
        if right[better] < SURE_ENOUGH:
            self._press("SKIP", "skipped")
            return
        self.widget.correction_panel.reach.setValue(self._reach(site))
        self._press(("TAKE_A", "TAKE_B")[better], ("took A", "took B")[better])

    def _reach(self, site: Any) -> float:
        """Return the largest distance up to which what is shown is right."""
        from napari_metassl.data.sites import site_neighbourhood

        for reach in REACHES_MM:
            near = site_neighbourhood(site, self.review.shape, self.review.spacing, reach)
            around = np.setdiff1d(near, site.voxels, assume_unique=True)
            if len(around) and (self.shown[around] == self.truth[around]).mean() >= RIGHT_ENOUGH:
                return reach
        return 0.0

    def _press(self, action: str, counted: str) -> None:
        from qtpy.QtTest import QTest

        from napari_metassl.widgets.session import KEYS, Action

        canvas = self.widget.viewer.window._qt_viewer.canvas.native
        canvas.setFocus()
        QTest.keyClick(canvas, KEYS[Action[action]])
        _pause()
        self.counts[counted] += 1


def _truth(path: Path) -> npt.NDArray[np.integer]:
    from napari_metassl.data.volume_io import read_labels

    return read_labels(path).data


def _pause() -> None:
    from qtpy.QtTest import QTest

    QTest.qWait(30)


def _wait(ready: Any) -> None:
    end = time.monotonic() + 120
    _pause()
    while not ready():
        assert time.monotonic() < end, "the volume did not come"
        _pause()


if __name__ == "__main__":
    main()
