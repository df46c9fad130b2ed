"""Networks made elsewhere become a pair of a project, by command."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.networks.nets import UNet
from typer.testing import CliRunner

from napari_metassl.cli.app import app
from napari_metassl.data.model_pair import load_pair
from napari_metassl.data.project import Project

SHAPE = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
SIZES = {"channels": [4, 8], "strides": [2]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    image = nib.Nifti1Image(np.zeros((8, 8, 8), np.float32), np.eye(4))
    nib.save(image, tmp_path / "images" / "p0.nii.gz")
    Project.create(tmp_path / "project", tmp_path / "images", class_names=("background", "ball"))
    return tmp_path / "project"


def run(*command: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["import", *map(str, command)])
    return result.exit_code, " ".join(result.output.split())


def weights_file(folder: Path, seed: int, **shape: int) -> Path:
    torch.manual_seed(seed)
    network = UNet(**(SHAPE | shape), **SIZES)
    path = folder / f"{seed}.pt"
    torch.save({"state_dict": network.state_dict()}, path)
    return path


def test_two_weight_files_become_the_pair_in_use(project: Path, tmp_path: Path) -> None:
    files = [weights_file(tmp_path, seed) for seed in (1, 2)]
    code, said = run(
        *(project, *files, "--architecture", "UNet", "--network", "channels=[4,8]"),
        *("--spacing", "2,1,1", "--patch", "16,16,16", "--name", "mine"),
    )
    assert (code, "in use" in said) == (0, True), said
    opened = Project.open(project)
    assert opened.file.current_pair == "mine"
    pair = load_pair(project / "pairs" / "mine")
    assert (pair.card.strategy, pair.card.spacing) == ("cps", (2.0, 1.0, 1.0))
    for file, network in zip(files, pair.networks, strict=True):
        saved = torch.load(file, weights_only=True)["state_dict"]
        assert all(torch.equal(saved[k], v) for k, v in network.state_dict().items())


def test_a_monai_bundle_becomes_a_pair(project: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    for part in ("configs", "models"):
        (bundle / part).mkdir(parents=True)
    definition = {"network_def": {"_target_": "UNet", **SHAPE, **SIZES}}
    (bundle / "configs" / "inference.json").write_text(json.dumps(definition), encoding="utf-8")
    weights_file(tmp_path, 1).rename(bundle / "models" / "model.pt")
    code, said = run(project, bundle)
    assert code == 0, said
    card = load_pair(project / "pairs" / "imported-1").card
    assert (card.strategy, card.class_names) == ("mean_teacher", ("background", "ball"))


def test_what_does_not_fit_is_one_sentence(project: Path, tmp_path: Path) -> None:
    file = weights_file(tmp_path, 1)
    code, said = run(project, file)
    assert code == 1 and "--architecture" in said
    code, said = run(project, file, "--architecture", "UNet", "--network", "channels=[4,16]")
    assert code == 1 and "of another shape" in said
    code, said = run(project, tmp_path / "images")
    assert code == 1 and "bundle" in said
    assert not (project / "pairs").exists() or not list((project / "pairs").iterdir())
