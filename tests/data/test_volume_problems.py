"""What cannot be read or shown right: one clear sentence each, and no memory taken for it."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from nibabel.testing import data_path

from napari_metassl.data.file_checks import FileNote, free_memory
from napari_metassl.data.volume_io import read_geometry, read_labels, read_volume
from napari_metassl.errors import FileProblem

NIBABEL = Path(data_path)
DIM, PIXDIM, CODES, QUATERN, SROW_X, SROW_Y = 40, 76, 252, 256, 280, 296


def problem(path, read=read_volume):
    """Return the one sentence (and its remedy) that reading `path` is refused with."""
    with pytest.raises(FileProblem) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) < 400
    assert path.name in message
    return message


def nifti(path, data=None, affine=None, **header):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4) if data is None else data
    image = nib.Nifti1Image(data, np.diag([2.0, 2, 3, 1]) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def patched(path, offset, kind, *values):
    """Write a sound uncompressed NIfTI file with some header bytes replaced."""
    content = bytearray(nifti(path).read_bytes())
    struct.pack_into(kind, content, offset, *values)
    path.write_bytes(content)
    return path


def text_header_patched(path, *changes):
    content = path.read_bytes()
    for old, new in changes:
        assert old in content
        content = content.replace(old, new)
    path.write_bytes(content)
    return path


def itk(path, array=None, vector=False, compress=False):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4) if array is None else array
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path), compress)
    return path


# -- the file itself


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm"])
def test_missing_and_empty_and_foreign_files(suffix, tmp_path):
    path = tmp_path / f"p07{suffix}"
    assert "does not exist" in problem(path)
    path.write_bytes(b"")
    assert "is empty (0 bytes)" in problem(path)
    path.write_text("These are my notes: nothing = medical.\n" * 50)
    assert any(words in problem(path) for words in ("name says", "not compressed", "no readable"))
    path.write_bytes(np.random.default_rng(1).bytes(3000))
    problem(path)


def test_an_unknown_suffix_and_a_folder_without_volumes(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(b"x")
    assert "expected .nii" in problem(path)
    assert "expected .nii" in problem(path, read_geometry)
    assert "no DICOM images" in problem(tmp_path)
    (tmp_path / "folder.nii").mkdir()
    assert "no DICOM images" in problem(tmp_path / "folder.nii")


def test_a_plain_file_called_gz(tmp_path):
    path = nifti(tmp_path / "p.nii").rename(tmp_path / "p.nii.gz")
    assert "rename it to .nii" in problem(path)


def test_nibabels_files_that_are_no_volume():
    assert "4D with 20 volumes of 17 x 21 x 3" in problem(NIBABEL / "functional.nii")
    assert "4D with 2 volumes" in problem(NIBABEL / "example4d.nii.gz")
    assert "CIFTI-2" in problem(NIBABEL / "row_major.dconn.nii")
    assert "Analyze 7.5" in problem(NIBABEL / "analyze.hdr")
    assert "'nifti1.img' is missing" in problem(NIBABEL / "nifti1.hdr")
    assert "'nifti2.img' is missing" in problem(NIBABEL / "nifti2.hdr")
    assert "no suffix of a medical volume" in problem(NIBABEL / "tiny.mnc")


# -- too short, too long, damaged


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("compress", [False, True])
def test_truncated_files(suffix, keep, compress, tmp_path):
    voxels = np.random.default_rng(0).integers(0, 30_000, (20, 20, 20)).astype(np.int16)
    path = tmp_path / f"short{suffix}"
    if suffix.startswith(".nii"):
        nifti(path, voxels)
    else:
        itk(path, voxels, compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert "truncated" in problem(path)


def test_a_flipped_bit_in_a_compressed_file_is_noticed(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 30_000, (20, 20, 20)).astype(np.int16)
    path = nifti(tmp_path / "bit.nii.gz", voxels)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "damaged" in problem(path)


@pytest.mark.parametrize(("suffix", "raw"), [(".mhd", ".raw"), (".nhdr", ".raw")])
def test_a_detached_voxel_file_that_is_missing_or_short(suffix, raw, tmp_path):
    path = itk(tmp_path / f"p{suffix}")
    voxels = path.with_suffix(raw)
    voxels.write_bytes(voxels.read_bytes()[:-1])
    assert "truncated" in problem(path)
    voxels.unlink()
    assert "'p.raw', which is missing" in problem(path)


def test_headers_that_promise_more_than_memory_are_refused_before_anything_is_taken(tmp_path):
    sizes = (3, 32_000, 32_000, 32_000, 1, 1, 1, 1)
    plain = patched(tmp_path / "huge.nii", DIM, "<8h", *sizes)
    packed = tmp_path / "huge.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    nrrd = text_header_patched(
        itk(tmp_path / "huge.nrrd"), (b"sizes: 4 3 2", b"sizes: 90000 90000 90000")
    )
    # 600 GB of zeros fit into 600 MB of gzip; here the file is only said to be that large.
    tracemalloc.start()
    for path in (plain, packed, nrrd):
        message = problem(path)
        assert "promises" in message
        assert "TB" in message
        problem(path, read_geometry)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_a_header_that_promises_what_memory_holds_but_the_file_cannot(tmp_path):
    plain = patched(tmp_path / "p.nii", DIM, "<8h", 3, 500, 500, 500, 1, 1, 1, 1)
    assert "its header promises 250 MB of voxels" in problem(plain)
    packed = tmp_path / "p.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert "its header promises 250 MB of voxels" in problem(packed)


def test_free_memory_is_a_sensible_number():
    assert 1e8 < free_memory() < 1e15


# -- not one number per voxel of a 3D grid


def test_four_dimensions(tmp_path):
    assert "4D with 3 volumes" in problem(nifti(tmp_path / "a.nii", np.zeros((2, 3, 4, 3), "u1")))
    for suffix in (".nrrd", ".mha"):
        path = itk(tmp_path / f"b{suffix}", np.zeros((3, 4, 5, 6), np.uint8))
        assert "4D with 3 volumes" in problem(path)


def test_two_dimensions(tmp_path):
    assert "2D image" in problem(nifti(tmp_path / "a.nii", np.zeros((2, 3), "u1")))
    assert "2D image" in problem(itk(tmp_path / "b.nrrd", np.zeros((4, 5), np.uint8)))


def test_colors_vectors_and_complex_numbers(tmp_path):
    rgb = np.zeros((2, 3, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "color image" in problem(nifti(tmp_path / "rgb.nii", rgb))
    vectors = np.zeros((2, 3, 4, 1, 3), np.float32)
    assert "vectors" in problem(nifti(tmp_path / "vector.nii", vectors))
    assert "complex" in problem(nifti(tmp_path / "complex.nii", np.zeros((2, 3, 4), np.complex64)))
    for suffix in (".nrrd", ".mha"):
        path = itk(tmp_path / f"rgb{suffix}", np.zeros((2, 3, 4, 3), np.uint8), vector=True)
        assert "3 numbers per voxel" in problem(path)


@pytest.mark.parametrize("sizes", [(3, 0, 3, 4), (3, 2, -3, 4)])
def test_axes_without_voxels(sizes, tmp_path):
    path = patched(tmp_path / "p.nii", DIM, "<4h", *sizes)
    assert "at least one along every axis" in problem(path)


# -- space


def test_sheared_affines(tmp_path):
    sheared = np.diag([2.0, 2, 3, 1])
    sheared[0, 1] = 0.5
    assert "meet at 75.96 instead of 90 degrees" in problem(
        nifti(tmp_path / "s.nii", None, sheared)
    )
    nrrd = text_header_patched(itk(tmp_path / "s.nrrd"), (b"(0,1,0)", b"(0.5,1,0)"))
    assert "sheared" in problem(nrrd)
    mha = text_header_patched(
        itk(tmp_path / "s.mha"),
        (b"TransformMatrix = 1 0 0 0 1 0", b"TransformMatrix = 1 0 0 0.1 0.995 0"),
    )
    assert "sheared" in problem(mha)


def test_a_sheared_sform_is_not_straightened_by_its_qform(tmp_path):
    sheared = np.diag([2.0, 2, 3, 1])
    sheared[0, 1] = 0.5
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.uint8), sheared)
    image.set_qform(np.diag([2.0, 2, 3, 1]), code=1)
    nib.save(image, tmp_path / "s.nii")
    assert "sheared" in problem(tmp_path / "s.nii")


def test_singular_and_unfinished_affines(tmp_path):
    flat = np.diag([2.0, 2, 3, 1])
    flat[:3, 2] = flat[:3, 1]
    assert "singular" in problem(nifti(tmp_path / "p.nii", None, flat))
    assert "not a number" in problem(patched(tmp_path / "q.nii", SROW_X, "<f", float("nan")))
    nrrd = text_header_patched(itk(tmp_path / "p.nrrd"), (b"(0,1,0)", b"(1,0,0)"))
    assert "singular" in problem(nrrd)


def test_spacings_of_zero(tmp_path):
    assert "(2, 0, 3) mm" in problem(patched(tmp_path / "s.nii", SROW_Y, "<4f", 0, 0, 0, 0))
    path = patched(tmp_path / "p.nii", PIXDIM, "<4f", 1, 2, 0, 3)
    content = bytearray(path.read_bytes())
    struct.pack_into("<2h", content, CODES, 0, 0)
    path.write_bytes(content)
    assert "(2, 0, 3) mm" in problem(path)
    mha = text_header_patched(
        itk(tmp_path / "p.mha"), (b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 0 1")
    )
    assert "(1, 0, 1) mm" in problem(mha)
    nrrd = text_header_patched(itk(tmp_path / "p.nrrd"), (b"(0,1,0)", b"(0,0,0)"))
    assert "spacing of 0" in problem(nrrd)


def test_a_damaged_quaternion(tmp_path):
    path = patched(tmp_path / "p.nii", CODES, "<2h", 1, 0)
    content = bytearray(path.read_bytes())
    struct.pack_into("<3f", content, QUATERN, 9, 9, 9)
    path.write_bytes(content)
    assert "damaged" in problem(path)


def test_qform_and_sform_that_disagree_are_told_and_both_kept(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.diag([2.0, 2, 3, 1]))
    image.set_qform(np.diag([-2.0, 2, 3, 1]), code=1)
    nib.save(image, tmp_path / "p.nii")
    with pytest.warns(FileNote, match="in two ways.*The sform is shown; both are kept"):
        volume = read_volume(tmp_path / "p.nii")
    assert volume.geometry.source.flips == (False, True, True)  # of the sform: x is RAS


def test_a_file_without_orientation_is_told(tmp_path):
    path = patched(tmp_path / "p.nii", CODES, "<2h", 0, 0)
    with pytest.warns(FileNote, match="left and right are a guess"):
        read_volume(path)


# -- values


def test_voxels_that_are_not_finite(tmp_path):
    assert "153 of 1071 voxels" in problem(NIBABEL / "resampled_anat_moved.nii")
    data = np.zeros((2, 3, 4), np.float32)
    data[0, 0, 0], data[1, 2, 3] = np.nan, np.inf
    for path in (nifti(tmp_path / "a.nii.gz", data), itk(tmp_path / "b.nrrd", data)):
        assert "2 of 24 voxels that are NaN or infinite" in problem(path)
        assert "NaN" in problem(path, read_labels)


def test_labels_that_are_none(tmp_path):
    half = nifti(tmp_path / "half.nii.gz", np.full((2, 3, 4), 0.5, np.float32))
    assert "holds the value 0.5, expected integer labels" in problem(half, read_labels)
    negative = nifti(tmp_path / "negative.nii.gz", np.full((2, 3, 4), -3, np.int16))
    assert "holds the label -3" in problem(negative, read_labels)
    scaled = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    scaled.header.set_slope_inter(0.3, 0)
    nib.save(scaled, tmp_path / "scaled.nii.gz")
    assert "expected integer labels" in problem(tmp_path / "scaled.nii.gz", read_labels)
