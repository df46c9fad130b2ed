"""Files in and out: geometry and voxels, judged by nibabel and SimpleITK, not by this program."""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.testing import data_path
from scipy.spatial.transform import Rotation

from napari_metassl.data.geometry import Geometry, ras_to_lps
from napari_metassl.data.nifti_space import SPACE_FIELDS
from napari_metassl.data.volume_io import (
    declares_labels,
    list_volumes,
    read_geometry,
    read_labels,
    read_volume,
    volume_stem,
    write_labels,
    write_volume,
)
from napari_metassl.errors import FileProblem

NIBABEL = Path(data_path)
FORMATS = [".nii", ".nii.gz", ".nrrd", ".mha"]


def oblique_image(suffix, folder, flips=(1, 1, 1)):
    """Write an oblique image with ITK, in the given format."""
    rng = np.random.default_rng(3)
    image = sitk.GetImageFromArray(rng.integers(0, 5, (5, 6, 7)).astype(np.uint8))
    turn = Rotation.from_euler("xyz", (17, -8, 31), degrees=True).as_matrix()
    image.SetDirection((turn * np.array(flips)).ravel())
    image.SetSpacing((0.7123456, 1 / 3, 2.25))
    image.SetOrigin((-31.4159265, 12.5, 100 / 3))
    path = folder / f"case{suffix}"
    sitk.WriteImage(image, str(path))
    return path


def space_fields(path):
    header = nib.load(path).header
    fields = {name: header[name].tolist() for name in SPACE_FIELDS}  # in any byte order
    return fields | {"pixdim": header["pixdim"][:4].tolist()}


def same_place(one, other, tolerance):
    first, second = sitk.ReadImage(str(one)), sitk.ReadImage(str(other))
    for index in ((0, 0, 0), (6, 0, 0), (0, 5, 4), (6, 5, 4)):
        a, b = (image.TransformIndexToPhysicalPoint(index) for image in (first, second))
        assert np.allclose(a, b, rtol=0, atol=tolerance)
        assert first[index] == second[index]


# -- files this program did not write


def test_nibabels_anatomical_image_keeps_header_and_voxels(tmp_path):
    source = NIBABEL / "anatomical.nii"
    volume = read_volume(source)
    original = nib.load(source)
    assert volume.name == "anatomical"
    assert volume.data.dtype == np.int16  # as stored: the header does not scale it
    assert volume.shape == original.shape[::-1]
    written = write_volume(tmp_path / "again.nii", volume.data, volume.geometry)
    assert space_fields(written) == space_fields(source)
    assert (nib.load(written).get_fdata() == original.get_fdata()).all()
    assert (nib.load(written).affine == original.affine).all()


@pytest.mark.parametrize("name", ["anatomical.nii", "reoriented_anat_moved.nii", "standard.nii.gz"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_labels_drawn_on_nibabels_images_lie_where_they_were_drawn(name, suffix, tmp_path):
    volume = read_volume(NIBABEL / name)
    labels = np.zeros(volume.shape, np.uint8)
    labels[1, 2, 3] = 4
    path = write_labels(tmp_path / f"labels{suffix}", labels, volume.geometry)
    back = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(back)
    assert array.dtype == np.uint8
    (index,) = np.argwhere(array == 4)
    placed = back.TransformIndexToPhysicalPoint([int(n) for n in index[::-1]])
    assert np.allclose(placed[::-1], (volume.geometry.affine @ [1, 2, 3, 1])[:3], atol=1e-3)


def test_values_are_as_nibabel_scales_them():
    volume = read_volume(NIBABEL / "reoriented_anat_moved.nii")
    expected = volume.geometry.source.to_canonical(
        nib.load(NIBABEL / "reoriented_anat_moved.nii").get_fdata()
    )
    assert volume.data.dtype == np.float32
    assert np.allclose(volume.data, expected, rtol=1e-6)


def test_nifti2_is_read_and_stays_nifti2(tmp_path):
    four = nib.load(NIBABEL / "example_nifti2.nii.gz")
    source = tmp_path / "first.nii.gz"
    nib.save(four.slicer[..., 0], source)
    volume = read_volume(source)
    written = write_volume(tmp_path / "again.nii.gz", volume.data, volume.geometry)
    assert isinstance(nib.load(written), nib.Nifti2Image)
    assert space_fields(written) == space_fields(source)
    assert (nib.load(written).get_fdata() == nib.load(source).get_fdata()).all()


def test_a_pair_of_header_and_image_files_is_read_by_either_name(tmp_path):
    nib.save(
        nib.Nifti1Pair(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)),
        tmp_path / "pair.hdr",
    )
    by_header, by_image = read_volume(tmp_path / "pair.hdr"), read_volume(tmp_path / "pair.img")
    assert (by_header.data == by_image.data).all()
    assert by_header.shape == (4, 3, 2)


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz"])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (1, -1, 1)])
def test_itks_oblique_files_are_read_where_itk_has_them(suffix, flips, tmp_path):
    path = oblique_image(suffix, tmp_path, flips)
    image, volume = sitk.ReadImage(str(path)), read_volume(path)
    for index in ((0, 0, 0), (6, 0, 4), (2, 5, 1)):
        z, y, x, _ = np.linalg.solve(
            volume.geometry.affine, [*image.TransformIndexToPhysicalPoint(index)[::-1], 1]
        )
        assert np.allclose((z, y, x), np.rint((z, y, x)), atol=1e-3)
        assert volume.data[round(z), round(y), round(x)] == image[index]
    assert read_geometry(path).same_grid(volume.geometry, 1e-9)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_itk_files_come_back_exactly(suffix, tmp_path):
    path = oblique_image(suffix, tmp_path, (1, -1, 1))
    volume = read_labels(path)
    again = write_labels(tmp_path / f"again{suffix}", volume.data, volume.geometry)
    one, other = sitk.ReadImage(str(path)), sitk.ReadImage(str(again))
    assert (sitk.GetArrayViewFromImage(one) == sitk.GetArrayViewFromImage(other)).all()
    assert other.GetSpacing() == pytest.approx(one.GetSpacing(), rel=0, abs=1e-15)
    assert other.GetOrigin() == one.GetOrigin()
    assert other.GetDirection() == pytest.approx(one.GetDirection(), rel=0, abs=1e-15)


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_any_format_written_from_any_other_is_the_same_in_the_world(source, target, tmp_path):
    path = oblique_image(source, tmp_path, (-1, 1, 1))
    volume = read_labels(path)
    written = write_labels(tmp_path / f"other{target}", volume.data, volume.geometry)
    same_place(path, written, tolerance=1e-4)


# -- any direction at all

directions = st.tuples(*[st.floats(-180, 180)] * 3).map(
    lambda angles: Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
)
grids = st.tuples(
    directions,
    st.permutations(range(3)),
    st.tuples(*[st.sampled_from((-1, 1))] * 3),
    st.tuples(*[st.floats(0.1, 8)] * 3),
    st.tuples(*[st.floats(-500, 500)] * 3),
    st.tuples(*[st.integers(1, 6)] * 3),
)


def affine_of(grid):
    direction, order, signs, spacing, origin, _ = grid
    affine = np.eye(4)
    affine[:3, :3] = direction[:, list(order)] * np.array(signs) * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def voxels_for(shape):
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)


def assert_voxels_in_place(volume, stored, affine, tolerance):
    """Every stored voxel is found at its place in the world."""
    for index in np.ndindex(*stored.shape):
        x, y, z = (affine @ [*index, 1])[:3]
        place = np.linalg.solve(volume.geometry.affine, [z, y, x, 1])[:3]
        assert np.abs(place - np.rint(place)).max() < tolerance
        assert volume.data[tuple(np.rint(place).astype(int))] == stored[index]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(grid=grids, codes=st.sampled_from([(1, 1), (0, 1), (2, 4), (1, 0)]))
def test_round_trip_of_any_nifti(grid, codes, tmp_path):
    lps, stored = affine_of(grid), voxels_for(grid[-1])
    image = nib.Nifti1Image(stored, ras_to_lps(lps))
    image.set_qform(ras_to_lps(lps), code=codes[0])
    image.set_sform(ras_to_lps(lps), code=codes[1])
    path = tmp_path / "any.nii.gz"
    nib.save(image, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a quaternion near 180 degrees loses digits
        volume = read_labels(path)
    assert_voxels_in_place(volume, stored, ras_to_lps(nib.load(path).affine), 1e-4)
    again = write_labels(tmp_path / "again.nii.gz", volume.data, volume.geometry)
    assert space_fields(again) == space_fields(path)
    assert (nib.load(again).affine == nib.load(path).affine).all()
    assert (np.asarray(nib.load(again).dataobj) == stored).all()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(grid=grids, suffix=st.sampled_from([".nrrd", ".mha"]))
def test_round_trip_of_any_itk_file(grid, suffix, tmp_path):
    direction, order, signs, spacing, origin, shape = grid
    stored = voxels_for(shape)
    image = sitk.GetImageFromArray(stored.T)
    image.SetDirection((direction[:, list(order)] * np.array(signs)).ravel())
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    path = tmp_path / f"any{suffix}"
    sitk.WriteImage(image, str(path))
    volume = read_labels(path)
    assert_voxels_in_place(volume, stored, affine_of(grid), 1e-6)
    again = sitk.ReadImage(
        str(write_labels(tmp_path / f"again{suffix}", volume.data, volume.geometry))
    )
    assert (sitk.GetArrayFromImage(again) == stored.T).all()
    assert np.allclose(again.GetOrigin(), origin, rtol=0, atol=1e-12)
    assert np.allclose(again.GetSpacing(), spacing, rtol=0, atol=1e-12)
    assert np.allclose(again.GetDirection(), image.GetDirection(), rtol=0, atol=1e-12)
    crossed = nib.load(write_labels(tmp_path / "cross.nii", volume.data, volume.geometry))
    assert np.allclose(ras_to_lps(crossed.affine), affine_of(grid), rtol=1e-6, atol=1e-4)
    assert np.allclose(crossed.get_qform(), crossed.get_sform(), atol=0.05)


# -- values


def test_integers_that_the_header_does_not_scale_keep_their_type(tmp_path):
    for kind in (np.uint8, np.int16, np.uint16, np.int32):
        data = np.arange(24, dtype=kind).reshape(2, 3, 4)
        for suffix in (".nii.gz", ".nrrd", ".mha"):
            path = write_volume(
                tmp_path / f"v{suffix}", data, Geometry.from_spacing((1, 1, 1), data.shape)
            )
            assert read_volume(path).data.dtype == kind
            assert (read_volume(path).data == data).all()


def test_a_big_endian_file_is_read_in_native_order(tmp_path):
    data = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    nib.save(nib.Nifti1Image(data, np.diag([-1.5, -1.5, 2, 1]), header), tmp_path / "big.nii")
    volume = read_volume(tmp_path / "big.nii")
    assert volume.data.dtype.isnative
    assert (volume.data == data.T).all()
    again = write_volume(tmp_path / "again.nii", volume.data, volume.geometry)
    assert (nib.load(again).affine == nib.load(tmp_path / "big.nii").affine).all()


@pytest.mark.parametrize(
    ("slope", "inter", "kind"),
    [(1, -1024, np.int16), (2, 0, np.uint16), (0.5, 0, np.float32), (np.nan, 0, np.uint16)],
)
def test_slope_and_intercept_are_honored(slope, inter, kind, tmp_path):
    stored = np.arange(0, 24_000, 1000, dtype=np.uint16).reshape(2, 3, 4)
    image = nib.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(slope, inter if np.isfinite(slope) else np.nan)
    nib.save(image, tmp_path / "scaled.nii")
    volume = read_volume(tmp_path / "scaled.nii")
    expected = nib.load(tmp_path / "scaled.nii").get_fdata()
    assert volume.data.dtype == kind
    assert (volume.geometry.source.to_file(volume.data) == expected).all()
    raw = read_volume(tmp_path / "scaled.nii", scaled=False)
    assert raw.data.dtype == np.uint16


def test_stored_levels_survive_a_slope(tmp_path):
    levels = np.arange(0, 65536, 257, dtype=np.uint16).reshape(4, 8, 8)
    geometry = Geometry.from_spacing((1, 1, 1), levels.shape)
    path = write_volume(tmp_path / "confidence.nii.gz", levels, geometry, slope=1 / 65535)
    assert nib.load(path).get_fdata().max() == pytest.approx(1.0)
    assert (np.rint(read_volume(path).data * 65535).astype(np.uint16) == levels).all()
    with pytest.raises(FileProblem, match="NIfTI"):
        write_volume(tmp_path / "confidence.nrrd", levels, geometry, slope=1 / 65535)


def test_micrometers_and_meters_become_millimeters_and_are_kept_in_the_file(tmp_path):
    image = nib.Nifti1Image(np.ones((2, 3, 4), np.uint8), np.diag([-500.0, -500, 2000, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "small.nii")
    volume = read_volume(tmp_path / "small.nii")
    assert volume.geometry.spacing == pytest.approx((2.0, 0.5, 0.5))
    again = write_labels(tmp_path / "again.nii", volume.data, volume.geometry)
    assert space_fields(again) == space_fields(tmp_path / "small.nii")
    nrrd = write_labels(tmp_path / "again.nrrd", volume.data, volume.geometry)
    assert sitk.ReadImage(str(nrrd)).GetSpacing() == pytest.approx((0.5, 0.5, 2.0))


@pytest.mark.parametrize(
    ("highest", "kind"), [(3, np.uint8), (255, np.uint8), (256, np.uint16), (70_000, np.uint32)]
)
@pytest.mark.parametrize("suffix", FORMATS)
def test_labels_are_written_in_the_smallest_sufficient_type(highest, kind, suffix, tmp_path):
    labels = np.zeros((2, 3, 4), np.int64)
    labels[1, 1, 1] = highest
    geometry = Geometry.from_spacing((2, 1, 1), labels.shape)
    back = read_labels(write_labels(tmp_path / f"l{suffix}", labels, geometry))
    assert back.data.dtype == kind
    assert (back.data == labels).all()


def test_labels_stored_as_floats_are_taken_as_integers(tmp_path):
    data = np.zeros((3, 4, 5))
    data[1] = 2
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "l.nii.gz")
    labels = read_labels(tmp_path / "l.nii.gz")
    assert labels.data.dtype == np.uint8
    assert set(np.unique(labels.data)) == {0, 2}


def test_written_labels_say_that_they_are_labels(tmp_path):
    geometry = Geometry.from_spacing((1, 1, 1), (2, 2, 2))
    assert declares_labels(write_labels(tmp_path / "a.nii.gz", np.ones((2, 2, 2), int), geometry))
    image = write_volume(tmp_path / "b.nii.gz", np.ones((2, 2, 2), np.int16), geometry)
    assert not declares_labels(image)


def test_a_trailing_axis_of_one_is_no_fourth_dimension(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1)
    nib.save(nib.Nifti1Image(data, np.diag([-1.0, -1, 1, 1])), tmp_path / "one.nii.gz")
    assert (read_volume(tmp_path / "one.nii.gz").data == data[..., 0].T).all()


# -- names, folders, disk


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("p07.nii.gz", "p07"),
        ("p07.NII.GZ", "p07"),
        ("p07.1.nrrd", "p07.1"),
        ("p07.seg.nrrd", "p07"),
        ("p07.mhd", "p07"),
        ("IM0001.dcm", "IM0001"),
    ],
)
def test_stems(name, stem):
    assert volume_stem(name) == stem


def test_a_folders_volumes_are_listed_by_stem(tmp_path):
    names = "b.nii.gz a.nrrd c.mhd c.raw notes.txt ._b.nii.gz d.hdr d.img"
    for name in names.split():
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    series = tmp_path / "series"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"x")
    found = list_volumes(tmp_path)
    assert list(found) == ["a", "b", "c", "d", "series"]
    assert found["c"].name == "c.mhd"
    assert list(list_volumes(series)) == ["series"]


def test_two_files_of_one_stem_are_refused(tmp_path):
    for name in ("p07.nii.gz", "p07.nrrd"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FileProblem, match=r"'p07\.nii\.gz' and 'p07\.nrrd'.*Rename"):
        list_volumes(tmp_path)
    with pytest.raises(FileProblem, match="does not exist"):
        list_volumes(tmp_path / "nowhere")


def test_overwriting_the_file_that_was_read_works(tmp_path):
    path = oblique_image(".nii", tmp_path)
    volume = read_labels(path)
    write_labels(path, volume.data[...] + 1, volume.geometry)
    assert (read_labels(path).data == volume.data + 1).all()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = oblique_image(".nii.gz", tmp_path)
    volume, before = read_labels(path), path.read_bytes()

    def broken_save(image, filename):
        Path(filename).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", broken_save)
    with pytest.raises(FileProblem, match="No space left on device"):
        write_labels(path, volume.data, volume.geometry)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_labels_of_another_shape_are_not_written(tmp_path):
    geometry = Geometry.from_spacing((1, 1, 1), (4, 5, 6))
    with pytest.raises(FileProblem, match=r"2 x 5 x 6 but the volume has 4 x 5 x 6"):
        write_labels(tmp_path / "l.nii.gz", np.zeros((2, 5, 6), int), geometry)
    with pytest.raises(FileProblem, match="suffix"):
        write_labels(tmp_path / "l.png", np.zeros((4, 5, 6), int), geometry)
    assert not list(tmp_path.iterdir())


def test_names_with_spaces_and_letters_of_the_world(tmp_path):
    for suffix in FORMATS:
        folder = tmp_path / "Ärzte 医院"
        folder.mkdir(exist_ok=True)
        path = shutil.move(oblique_image(suffix, tmp_path), folder / f"Fall ñ 7{suffix}")
        volume = read_labels(path)
        assert volume.name == "Fall ñ 7"
        again = write_labels(folder / f"wieder ü{suffix}", volume.data, volume.geometry)
        assert (read_labels(again).data == volume.data).all()


def test_nothing_is_written_to_the_terminal(tmp_path):
    """Neither nibabel's log lines nor ITK's C++ warnings reach the person."""
    header = bytearray((NIBABEL / "anatomical.nii").read_bytes())
    header[76:92] = np.array([7, 2, 0, 2], "<f4").tobytes()  # nibabel repairs and talks about it
    (tmp_path / "odd.nii").write_bytes(header)
    sitk.WriteImage(
        sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 99, (9, 9, 9))),
        str(tmp_path / "short.mha"),
        useCompression=True,
    )
    with (tmp_path / "short.mha").open("rb+") as file:
        file.truncate(700)
    code = (
        "import sys, napari_metassl.data.volume_io as io\n"
        "for path in sys.argv[1:]:\n"
        "    try: io.read_volume(path)\n"
        "    except io.FileProblem: pass\n"
    )
    paths = [str(tmp_path / "odd.nii"), str(tmp_path / "short.mha")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *paths], capture_output=True, check=True
    )
    assert done.stderr == b""
    assert done.stdout == b""
