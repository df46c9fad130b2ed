"""The command line as a person uses it: their own files, then command after command."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from typer.testing import CliRunner

from napari_metassl.cli.app import app
from napari_metassl.cli.options import StrategyChoice
from napari_metassl.data.project import Project

SIZE = 16
PROGRAM = Path(sys.executable).with_name("napari-metassl")
SMALL = ["--network", "channels=[4,8]", "--patch", "16,16,16", "--device", "cpu"]


def write_case(folder: Path, number: int) -> None:
    rng = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*3 * [np.arange(SIZE)], indexing="ij"), -1)
    label = np.linalg.norm(grid - rng.uniform(6, 10, 3), axis=-1) < 5
    image = (label * 100 + rng.normal(50, 10, label.shape)).astype(np.float32)
    nib.save(nib.Nifti1Image(image, np.eye(4)), folder / "images" / f"p{number}.nii.gz")
    affine_of_nifti = sitk.GetImageFromArray(label.T.astype(np.uint8))  # x first, as NIfTI
    affine_of_nifti.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(affine_of_nifti, str(folder / "labels" / f"p{number}.nrrd"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Images as NIfTI, labels of most as NRRD, lists."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for number in range(5):
        write_case(folder, number)
    (folder / "labels" / "p4.nrrd").unlink()
    (folder / "labeled.txt").write_text("p0\n\np1.nii.gz  # the clear one\n")
    (folder / "validation.txt").write_text("p2\np3\n")
    return folder


@pytest.fixture(scope="module")
def project(files: Path, tmp_path_factory) -> Path:
    """A project with a first pair, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("projects") / "balls"
    made = run(
        *["new", folder, "--images", files / "images", "--labels", files / "labels"],
        *["--labeled", files / "labeled.txt", "--validation", files / "validation.txt"],
        *["--classes", "background,ball", "--json"],
    )
    assert json.loads(made.stdout)["volumes"] == {"labeled": 2, "validation": 2, "unlabeled": 1}
    trained = run("train", folder, *SMALL, "--steps", 4, "--name", "first", "--json")
    assert json.loads(trained.stdout)["pair"] == "first"
    assert "Mean Dice" in trained.stderr
    return folder


def run(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.exit_code}\n{result.output}{result.exception}"
    return result


def fails(*arguments: object, code: int = 1) -> str:
    """The one sentence a person gets for a mistake."""
    result = run(*arguments, code=code)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_first_pair_is_used_from_then_on(project: Path):
    assert Project.open(project).file.current_pair == "first"


def test_predict_then_export(project: Path, tmp_path: Path):
    first = json.loads(run("predict", project, "--volume", "p0", "--volume", "p4", "--json").stdout)
    assert first["predicted"] == ["p0", "p4"]
    assert first["problems"] == {}
    again = run("predict", project, "--volume", "p4")
    assert "had been predicted" in again.stderr
    written = run("export", project, "--to", tmp_path, "--format", "nrrd", "--volume", "p4")
    assert "4 files" in written.stdout  # labels, provenance, report and its page
    label = sitk.ReadImage(str(tmp_path / "p4.nrrd"))
    assert label.GetSize() == (SIZE,) * 3
    again = ("export", project, "--to", tmp_path, "--format", "nrrd", "--volume", "p4")
    assert "allow that files are replaced" in fails(*again)
    run(*again, "--replace")
    few = ("--no-provenance", "--no-report", "--json")
    everything = run("export", project, "--to", tmp_path / "all", *few)
    assert len(json.loads(everything.stdout)["written"]) == 5  # four have manual labels
    raw = run("export", project, "--to", tmp_path, "--format", "nnunet", "--channel", "MR")
    assert "Dataset501_" in raw.stdout


def test_fine_tune_offers_a_pair_and_use_takes_it(project: Path):
    tuned = run("fine-tune", project, "--steps", 2, "--device", "cpu", "--name", "tuned")
    assert re.search(r"mean +│ +2 │", tuned.stdout)
    assert f"napari-metassl use {project} tuned" in tuned.stdout
    assert Project.open(project).file.current_pair == "first"
    assert "already has a pair 'tuned'" in fails("fine-tune", project, "--name", "tuned")
    run("use", project, "tuned")
    found = json.loads(run("pairs", project, "--json").stdout)
    assert [(pair["name"], pair["current"], pair["parent"]) for pair in found] == [
        ("first", False, None),
        ("tuned", True, "first"),
    ]
    assert "tuned" in run("pairs", project).stdout
    run("use", project, "first")
    run("use", project, project / "pairs" / "tuned")  # its folder will do as well
    assert Project.open(project).file.current_pair == "tuned"
    run("use", project, "first")


def test_jobs_are_listed(project: Path):
    found = json.loads(run("jobs", project, "--json").stdout)
    assert found[0]["kind"] == "train"
    assert found[0]["status"] == "succeeded"
    assert "succeeded" in run("jobs", project).stdout


def test_evaluate_prints_only_json_with_figures_in_mm(project: Path, files: Path):
    options = ["--pair", project / "pairs" / "first", "--images", files / "images"]
    options += ["--labels", files / "labels", "--device", "cpu"]
    result = run("evaluate", *options, "--json")
    content = json.loads(result.stdout)
    assert [case["name"] for case in content["cases"]] == ["p0", "p1", "p2", "p3"]
    scores = content["cases"][0]["classes"]["ball"]
    assert set(scores) == {"dice", "hd95", "asd"}
    dice = [case["classes"]["ball"]["dice"] for case in content["cases"]]
    summary = content["summary"]["classes"]["ball"]["dice"]
    assert summary["mean"] == pytest.approx(np.mean(dice))
    assert summary["spread"] == pytest.approx(np.std(dice, ddof=1))
    assert "1 images have no label" in result.stderr
    table = run("evaluate", *options).stdout
    assert "HD95 mm" in table
    assert f"{scores['dice']:.3f}" in table


def test_mistakes_are_one_sentence(project: Path, files: Path, tmp_path: Path):
    assert "not a project" in fails("predict", tmp_path)
    assert "no pair of project" in fails("predict", project, "--pair", "third")
    assert "no volume 'p9'" in fails("predict", project, "--volume", "p9")
    assert "already holds a project" in fails("new", project, "--images", files / "images")
    assert "does not exist" in fails("new", tmp_path / "n", "--images", tmp_path / "none")
    assert "UNett" in fails("train", project, "--architecture", "UNett")
    assert "numbers with commas" in fails("train", project, "--patch", "a,b,c")
    assert "momentum: there is no such setting" in fails("train", project, "--set", "momentum=3")
    assert "learning_rate: expected a number greater than 0, got -1.0" in fails(
        "train", project, "--learning-rate", "-1"
    )
    assert "spacing.1: expected a number greater than 0, got 0.0" in fails(
        "train", project, "--spacing", "1,0,1"
    )
    assert "expected 'zscore', 'percentile', 'window' or 'none', got 'foo'" in fails(
        "train", project, "--normalisation", "foo"
    )
    labels = ["--labels", files / "labels"]
    assert "not a model pair" in fails(
        "evaluate", "--pair", tmp_path, "--images", files / "images", *labels
    )
    (tmp_path / "empty").mkdir()
    assert "labels" in fails(
        *["evaluate", "--pair", project / "pairs" / "first"],
        *["--images", tmp_path / "empty", *labels],
    )


def test_fine_tuning_and_prediction_need_a_pair(files: Path, tmp_path: Path):
    run("new", tmp_path / "bare", "--images", files / "images")
    for command in ("predict", "fine-tune"):
        assert "no current pair" in fails(command, tmp_path / "bare")
    assert "no label, prediction or correction" in fails(
        "export", tmp_path / "bare", "--volume", "p0"
    )


def test_failed_job_is_exit_code_1_with_its_sentence(project: Path):
    message = fails("train", project, "--strategy", "r-drop", *SMALL, "--steps", 1)
    assert "dropout" in message
    assert "log.txt" in message


def test_usage_is_exit_code_2(project: Path):
    run("new", code=2)
    run("train", project, "--steps", "many", code=2)
    run("train", project, "--steps", 5, "--minutes", 5, code=2)
    run("train", project, "--set", "nonsense", code=2)
    run("nonsense", code=2)


def test_review_without_a_display_says_so(project: Path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "xvfb-run" in fails("review", project)


def test_strategies_offered_are_those_there_are():
    from napari_metassl.method.strategies import STRATEGIES

    assert {choice.replace("-", "_") for choice in StrategyChoice} == set(STRATEGIES)


def test_help_starts_without_the_heavy_libraries():
    code = (
        "import sys; from napari_metassl.cli.app import app\n"
        "print([m for m in ('torch', 'monai', 'napari', 'qtpy', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    shown = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True)
    for command in ("new", "train", "predict", "review", "fine-tune", "evaluate", "export", "demo"):
        assert re.search(rf"^  {command} ", shown.stdout, re.MULTILINE)


def test_ctrl_c_stops_the_job_keeps_its_state_and_exits_with_130(project: Path):
    command = [PROGRAM, "train", project, *SMALL, "--steps", "100000", "--name", "endless"]
    before = set((project / "jobs").iterdir())
    # a shell that starts the tests in the background makes all below it deaf to Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        progress = wait_for(lambda: next(new_progress(project, before), None))
        wait_for(lambda: '"losses"' in progress.read_text())
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert stdout == ""
    assert "Stopped after" in stderr
    assert "Traceback" not in stderr
    state = json.loads(progress.with_name("state.json").read_text())
    assert state["status"] == "stopped"
    assert (progress.parent / "checkpoints" / "training.pt").is_file()
    assert (progress.parent / "checkpoints" / "pair" / "card.json").is_file()
    assert not (project / "pairs" / "endless").exists()


def new_progress(project: Path, before: set[Path]):
    for folder in set((project / "jobs").iterdir()) - before:
        yield from folder.glob("progress.jsonl")


def wait_for(condition, seconds: float = 90):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


os.environ.setdefault("OMP_NUM_THREADS", "1")
