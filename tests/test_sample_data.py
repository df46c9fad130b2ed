"""The sample volumes: what is shipped, and the script that makes them."""

import importlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

FOLDER = Path(__file__).parents[1] / "sample_data"
SPLIT = json.loads((FOLDER / "split.json").read_text("utf-8"))
ALL = SPLIT["labeled"] + SPLIT["validation"] + SPLIT["unlabeled"]
WITH_LABEL = SPLIT["labeled"] + SPLIT["validation"]


def shipped(kind: str, name: str) -> nib.Nifti1Image:
    return nib.load(FOLDER / kind / f"{name}.nii.gz")


def voxels(image: nib.Nifti1Image) -> np.ndarray:
    return np.asarray(image.dataobj)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


def is_oblique(affine: np.ndarray) -> bool:
    return bool((nib.affines.obliquity(affine) > np.radians(2)).any())


@pytest.fixture
def phantoms(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module("make_phantoms")
    for module in ("make_phantoms", "phantom_anatomy"):
        sys.modules.pop(module, None)


def test_split_agrees_with_the_files():
    counts = [len(SPLIT[role]) for role in ("labeled", "validation", "unlabeled")]
    assert counts == [4, 2, 10]
    assert len(set(ALL)) == 16
    assert {path.name for path in (FOLDER / "images").iterdir()} == {f"{n}.nii.gz" for n in ALL}
    labels = {path.name for path in (FOLDER / "labels").iterdir()}
    assert labels == {f"{name}.nii.gz" for name in WITH_LABEL}
    assert set(SPLIT["noisy"]) < set(SPLIT["labeled"])
    assert SPLIT["class_names"] == [
        "background",
        "left ventricle",
        "myocardium",
        "right ventricle",
    ]
    assert len(set(SPLIT["class_colors"])) == 4


def test_all_volumes_fit_into_two_megabytes():
    sizes = [path.stat().st_size for path in FOLDER.glob("*/p*.nii.gz")]
    assert len(sizes) == 22
    assert sum(sizes) < 2_000_000


@pytest.mark.parametrize("name", ALL)
def test_image_has_one_exact_geometry_and_grey_levels(name):
    image = shipped("images", name)
    header = image.header
    assert header["qform_code"] == header["sform_code"] == 1
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"
    assert header.get_data_dtype() == np.uint8
    grey = voxels(image)
    assert min(grey.shape) >= 19 and max(grey.shape) <= 80
    assert (grey == 255).mean() < 1e-3  # nothing clipped
    assert len(np.unique(grey)) > 60


@pytest.mark.parametrize("name", WITH_LABEL)
def test_label_has_three_connected_classes_on_the_image_grid(name):
    label = shipped("labels", name)
    np.testing.assert_array_equal(label.affine, shipped("images", name).affine)
    classes = voxels(label)
    assert classes.shape == shipped("images", name).shape
    assert set(np.unique(classes)) == {0, 1, 2, 3}
    for k in (1, 2, 3):
        parts, _ = ndimage.label(classes == k, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        allowed = 0.9 if name in SPLIT["noisy"] else 0.995
        assert sizes.max() / sizes.sum() > allowed
        millilitres = sizes.sum() * np.prod(label.header.get_zooms()) / 1000
        assert 40 < millilitres < 160  # of a heart


@pytest.mark.parametrize("name", WITH_LABEL)
def test_the_wall_wraps_the_left_ventricle_and_touches_the_right(name):
    classes = voxels(shipped("labels", name))
    around_left = ndimage.binary_dilation(classes == 1) & (classes != 1)
    assert (classes[around_left] == 2).mean() > 0.6  # the rest is the open base
    assert (ndimage.binary_dilation(classes == 3) & (classes == 2)).sum() > 200


@pytest.mark.parametrize("name", WITH_LABEL)
def test_blood_is_brighter_than_muscle_but_the_values_overlap(name):
    grey, classes = voxels(shipped("images", name)), voxels(shipped("labels", name))
    blood, muscle = grey[classes == 1], grey[classes == 2]
    assert np.median(blood) > 1.2 * np.median(muscle)
    assert np.percentile(muscle, 95) > np.percentile(blood, 5)


def test_geometry_is_as_varied_as_promised():
    images = [shipped("images", name) for name in ALL]
    zooms = [image.header.get_zooms() for image in images]
    assert sum(max(z) / min(z) > 2 for z in zooms) >= 5
    assert sum(is_oblique(image.affine) for image in images) == 4
    orders = ["".join(nib.aff2axcodes(image.affine)) for image in images]
    assert orders.count("LPS") >= 8  # most look natural as they are
    assert len(set(orders)) >= 6
    assert sum(order[2] not in "SI" for order in orders) >= 2  # not stored slice by axial slice


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path, phantoms):
    script = [sys.executable, str(FOLDER / "make_phantoms.py"), "--seed", "3", "--only", "p06"]
    command = [*script, "--out", str(tmp_path / "a"), "--with-truth", str(tmp_path / "truth")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (case,) = (case for case in phantoms.CASES if case.name == "p06")
    phantoms.write_case(case, 3, tmp_path / "b", None)
    for kind in ("images", "labels"):
        first, second = (tmp_path / folder / kind / "p06.nii.gz" for folder in "ab")
        assert first.read_bytes() == second.read_bytes()
        assert first.read_bytes() != (FOLDER / kind / "p06.nii.gz").read_bytes()  # other seed
    written = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["p06.nii.gz"] * 5 + ["split.json"]


def test_truth_is_written_only_on_request_and_unlabeled_cases_get_no_label(tmp_path, phantoms):
    small = replace(phantoms.CASES[-1], shape=(16, 20, 16), spacing=(9.0, 7.0, 6.0))
    assert small.role == "unlabeled"
    phantoms.write_case(small, 1, tmp_path / "plain", None)
    assert [path.parent.name for path in tmp_path.rglob("*.gz")] == ["images"]
    phantoms.write_case(small, 1, tmp_path / "more", tmp_path / "truth")
    truth = voxels(nib.load(tmp_path / "truth" / f"{small.name}.nii.gz"))
    assert set(np.unique(truth)) == {0, 1, 2, 3}
    assert not (tmp_path / "more" / "labels").exists()


def test_unknown_case_is_refused_in_one_sentence(phantoms, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["make_phantoms.py", "--out", str(tmp_path), "--only", "p99"])
    with pytest.raises(SystemExit) as stop:
        phantoms.main()
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "p99" in message and "choose among" in message
    assert not list(tmp_path.iterdir())


def test_shipped_files_come_from_the_script_and_the_noisy_label_is_spoiled(phantoms):
    (name,) = SPLIT["noisy"]
    case = next(case for case in phantoms.CASES if case.name == name)
    grey, truth, grid = phantoms.make_case(case, phantoms.DEFAULT_SEED)
    grey, truth = (voxels(phantoms.to_nifti(data, grid, case.stored)) for data in (grey, truth))
    # other versions of numpy may round a few voxels differently
    assert np.abs(grey.astype(int) - voxels(shipped("images", name))).mean() < 0.2

    label = voxels(shipped("labels", name))
    scores = [dice(truth == k, label == k) for k in (1, 2, 3)]
    np.testing.assert_allclose(scores, [0.98, 0.91, 0.87], atol=0.01)  # as the README says


def test_anatomy_does_not_depend_on_the_grid_it_is_sampled_on(phantoms):
    case = phantoms.CASES[0]
    plain = phantoms.scan_grid(case)
    coarse = phantoms.Grid(plain.affine @ np.diag([3, 3, 2, 1]), (24, 24, 16))
    fine = phantoms.sample_tissue(case, plain, np.random.default_rng(5))
    same = phantoms.sample_tissue(case, coarse, np.random.default_rng(5))
    assert (fine[::3, ::3, ::2] == same).mean() > 0.999


def test_script_split_is_the_shipped_one(phantoms):
    assert phantoms.split() == SPLIT
