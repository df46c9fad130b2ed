"""DICOM series: pydicom's own test files, and series made from one of them."""

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk  # noqa: N813
from nibabel.testing import data_path
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation

from napari_metassl.data.dicom_io import is_dicom_file
from napari_metassl.data.file_checks import FileNote
from napari_metassl.data.volume_io import list_volumes, read_geometry, read_volume, write_labels
from napari_metassl.errors import FileProblem

PYDICOM = Path(pydicom.data.__file__).parent / "test_files"
TURN = Rotation.from_euler("xyz", (8, -14, 25), degrees=True).as_matrix()


def make_series(folder, count=5, gap=2.5, uid=None, turn=TURN, **changes):
    """Write slices of pydicom's CT_small, each marked by its number, in shuffled file order."""
    folder.mkdir(exist_ok=True)
    uid = uid or generate_uid()
    first = pydicom.dcmread(PYDICOM / "CT_small.dcm")
    for number in range(count):
        one = first.copy()
        one.SeriesInstanceUID, one.SOPInstanceUID = uid, generate_uid()
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        pixels = first.pixel_array.copy()
        pixels[:8, :8] = 100 * number
        one.PixelData = pixels.tobytes()
        one.ImageOrientationPatient = [f"{value:.10f}" for value in turn[:, :2].T.ravel()]
        place = np.array((-50, 20, 30)) + turn[:, 2] * gap * number
        one.ImagePositionPatient = [f"{value:.8f}" for value in place]
        for name, value in changes.items():
            setattr(one, name, value(number) if callable(value) else value)
        one.save_as(folder / f"{(7 * number) % 11:02d}.dcm")
    return folder


def refusal(path):
    with pytest.raises(FileProblem) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pydicoms_ct_series_is_read_as_itk_reads_it():
    folder = PYDICOM / "dicomdirtests" / "98892001" / "CT5N"
    volume = read_volume(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    assert volume.name == "CT5N"
    assert volume.shape == image.GetSize()[::-1]
    assert volume.geometry.spacing == pytest.approx(image.GetSpacing()[::-1])
    for index in ((0, 0, 0), (15, 3, 4)):
        place = [*image.TransformIndexToPhysicalPoint(index)[::-1], 1]
        k, j, i = np.rint(np.linalg.solve(volume.geometry.affine, place)[:3]).astype(int)
        assert volume.data[k, j, i] == image[index]


def test_an_oblique_series_is_sorted_and_placed_by_its_slices(tmp_path):
    folder = make_series(tmp_path / "series")
    volume = read_volume(folder)
    assert volume.shape == (5, 128, 128)
    assert volume.geometry.spacing == pytest.approx((2.5, 0.661468, 0.661468))
    assert volume.geometry.is_oblique
    slope, intercept = 1, -1024  # of CT_small
    marks = volume.geometry.source.to_file(volume.data)[3, 3, :]
    assert marks.tolist() == [100 * n * slope + intercept for n in range(5)]
    assert volume.data.dtype == np.int16
    corner = volume.geometry.source.affine @ [0, 0, 4, 1]
    assert corner[:3] == pytest.approx(np.array((-50, 20, 30)) + TURN[:, 2] * 10, abs=1e-4)
    assert read_geometry(folder).same_grid(volume.geometry, 1e-9)


def test_labels_on_a_series_lie_on_its_grid(tmp_path):
    volume = read_volume(make_series(tmp_path / "series"))
    labels = (volume.data < -500).astype(np.uint8)
    for suffix in (".nii.gz", ".nrrd"):
        written = read_volume(write_labels(tmp_path / f"l{suffix}", labels, volume.geometry))
        assert written.geometry.same_grid(volume.geometry)
        assert (written.data == labels).all()


def test_one_file_stands_for_its_series(tmp_path):
    folder = make_series(tmp_path / "two")
    other = make_series(tmp_path / "other", count=3, gap=5, SeriesDescription="thick slices")
    for path in other.iterdir():
        shutil.copy(path, folder / f"b{path.name}")
    message = refusal(folder)
    assert "holds 2 DICOM series" in message
    assert "thick slices (3 files, e.g. 'b00.dcm')" in message
    assert "Give one file of the series you want" in message
    assert read_volume(folder / "b00.dcm").shape[0] == 3
    assert read_volume(folder / "00.dcm").shape[0] == 5


def test_pydicoms_folders_that_are_no_single_volume():
    tests = PYDICOM / "dicomdirtests"
    assert "holds 3 DICOM series" in refusal(tests / "98892003" / "MR1")
    assert "not an even stack" in refusal(tests / "77654033" / "CT2")
    assert "different size, spacing or direction" in refusal(tests / "98892003" / "MR700")
    assert "does not say where its slice lies" in refusal(tests / "77654033" / "CR1")
    assert "index of DICOM files" in refusal(tests / "DICOMDIR")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("waveform_ecg.dcm", "no readable image"),
        ("rtplan.dcm", "no readable image"),
        ("MR_truncated.dcm", "truncated"),
        ("examples_rgb_color.dcm", "3 numbers per voxel"),
        ("SC_rgb_rle_2frame.dcm", "3 numbers per voxel"),
    ],
)
def test_pydicoms_files_that_are_no_volume(name, words, tmp_path):
    shutil.copy(PYDICOM / name, tmp_path)
    assert words in refusal(tmp_path / name)


def test_a_siemens_mosaic_is_named():
    assert "mosaic" in refusal(Path(data_path) / "0.dcm")


def test_a_missing_slice(tmp_path):
    folder = make_series(tmp_path / "gap")
    (folder / "03.dcm").unlink()  # slice 2 of 0..4
    assert "2.5 to 5 mm apart" in refusal(folder)


def test_two_slices_at_one_place(tmp_path):
    uid = generate_uid()
    folder = make_series(tmp_path / "twice", uid=uid)
    for path in make_series(tmp_path / "again", uid=uid).iterdir():
        shutil.copy(path, folder / f"b{path.name}")
    assert "several slices at one place" in refusal(folder)


def test_a_tilted_gantry(tmp_path):
    folder = make_series(
        tmp_path / "tilted",
        turn=np.eye(3),
        ImagePositionPatient=lambda n: [0, 0.5 * n, 2.5 * n],
    )
    assert "sheared" in refusal(folder)


def test_slices_without_position(tmp_path):
    folder = make_series(tmp_path / "nowhere", ImagePositionPatient=None)
    assert "Image Position" in refusal(folder)


def test_a_damaged_file_in_the_folder_is_told(tmp_path):
    folder = make_series(tmp_path / "series")
    shutil.copy(PYDICOM / "MR_truncated.dcm", folder / "zz.dcm")
    with pytest.warns(FileNote, match=r"1 DICOM files .* left out: 'zz\.dcm'"):
        assert read_volume(folder).shape[0] == 5


def test_every_slice_with_a_scale_of_its_own(tmp_path):
    folder = make_series(
        tmp_path / "pet", RescaleSlope=lambda n: f"{1 + n * 0.1:.1f}", RescaleIntercept="0"
    )
    marks = read_volume(folder).geometry.source.to_file(read_volume(folder).data)[3, 3, :]
    assert marks == pytest.approx([100 * n * (1 + n * 0.1) for n in range(5)])


def test_series_folders_are_listed_beside_files(tmp_path):
    make_series(tmp_path / "p01", count=2)
    make_series(tmp_path / "p02", count=2)
    assert list(list_volumes(tmp_path)) == ["p01", "p02"]
    assert list(list_volumes(tmp_path / "p01")) == ["p01"]


def test_what_cannot_be_read_to_an_end_is_not_opened(tmp_path):
    """A pipe nobody writes to, and a file of /proc, made a listing of folders wait for ever."""
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "empty").touch()
    reader = threading.Thread(target=list_volumes, args=(tmp_path,), daemon=True)
    reader.start()
    reader.join(10)
    assert not reader.is_alive()
    assert list_volumes(tmp_path) == {}
    assert not is_dicom_file(folder / "pipe")
