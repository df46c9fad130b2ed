"""Train the sample pair: ``python sample_data/train_pair.py [--steps N]``, some minutes on a CPU.

Cross pseudo supervision of two small UNets with the heterogeneous loss on three labeled phantoms
(p01 to p03) and all others without their labels; the validation volumes only measure. It runs the
same commands a person would, in a project of its own, and puts the pair into ``sample_data/pair``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LABELED = ("p01", "p02", "p03")  # p04's label is noisy on purpose: it is for the review to find
NAME = "sample"


def main() -> None:
    """Make the project, train in it and keep the pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        make_project(project)
        train(project, arguments.steps, arguments.seed)
        shutil.rmtree(HERE / "pair", ignore_errors=True)
        shutil.copytree(project / "pairs" / NAME, HERE / "pair")


def make_project(project: Path) -> None:
    """Make a project of the phantoms with three of the labels."""
    split = json.loads((HERE / "split.json").read_text(encoding="utf-8"))
    lists = {"labeled": LABELED, "validation": split["validation"]}
    options = []
    for role, names in lists.items():
        file = project.with_name(f"{role}.txt")
        file.write_text("\n".join(names), encoding="utf-8")
        options += [f"--{role}", str(file)]
    folders = ["--images", str(HERE / "images"), "--labels", str(HERE / "labels")]
    classes = ["--classes", ",".join(split["class_names"])]
    run("new", str(project), *folders, *options, *classes)


def train(project: Path, steps: int, seed: int) -> None:
    """Train the pair in the project."""
    length = ["--steps", str(steps), "--validate-every", "100", "--seed", str(seed)]
    size = ["--patch", "24,64,64", "--spacing", "3,2,2", "--network", "channels=[12,24,48,96]"]
    run("train", str(project), "--strategy", "cps", "--name", NAME, *length, *size)


def run(*command: str) -> None:
    """Run one command of the program."""
    subprocess.run(["napari-metassl", *command], check=True, env=_environment())


def _environment() -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return os.environ | {"PATH": scripts + os.pathsep + os.environ.get("PATH", "")}


if __name__ == "__main__":
    main()
