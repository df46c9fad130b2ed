"""Opening, saving and samples the way napari asks for them, through the manifest; no Qt here."""

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk  # noqa: N813
from napari.components import ViewerModel
from napari.layers import Image, Labels
from nibabel.testing import data_path
from npe2 import PluginManifest

import napari_metassl
from napari_metassl.data.file_checks import FileNote
from napari_metassl.data.geometry import Geometry
from napari_metassl.data.sample import sample_data_path
from napari_metassl.errors import FileProblem
from napari_metassl.method.region import Region
from napari_metassl.widgets.napari_io import contrast_limits, get_reader

MANIFEST = Path(napari_metassl.__file__).parent / "napari.yaml"
NIBABEL = Path(data_path)
CT_SERIES = Path(pydicom.data.__file__).parent / "test_files/dicomdirtests/98892001/CT5N"
PLUGIN = "napari-metassl"


@pytest.fixture
def viewer(npe2pm):
    """A viewer without a window, with this plugin alone."""
    npe2pm.register(PluginManifest.from_file(MANIFEST))
    return ViewerModel()


def save_nifti(path, data, affine=None, intent=0):
    path.parent.mkdir(exist_ok=True, parents=True)
    image = nib.Nifti1Image(data, np.diag([-1.5, -1.5, 4, 1]) if affine is None else affine)
    image.header["intent_code"] = intent
    nib.save(image, path)
    return path


def opened(viewer, path):
    (layer,) = viewer.open(path, plugin=PLUGIN)
    return layer


# -- the manifest


def test_the_manifest_is_valid_and_names_what_exists():
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == PLUGIN
    assert len(manifest.contributions.sample_data) == 5


# -- opening


def test_an_image_opens_in_place_in_millimeters(viewer):
    layer = opened(viewer, NIBABEL / "anatomical.nii")
    assert isinstance(layer, Image)
    assert layer.name == "anatomical"
    assert layer.data.shape == (25, 41, 33)
    assert layer.scale.tolist() == [2, 2, 2]
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    geometry = layer.metadata["geometry"]
    assert layer.translate.tolist() == list(geometry.origin)
    assert (layer.data_to_world((1, 2, 3)) == (geometry.affine @ [1, 2, 3, 1])[:3]).all()


@pytest.mark.parametrize("suffix", [".nrrd", ".nhdr", ".mha", ".mhd", ".nii", ".nii.gz"])
def test_every_format_opens(viewer, suffix, tmp_path):
    voxels = np.random.default_rng(0).integers(0, 900, (4, 5, 6)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.5, 0.5, 2))
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    layer = opened(viewer, tmp_path / f"scan{suffix}")
    assert isinstance(layer, Image)
    assert (layer.data == voxels).all()
    assert layer.scale.tolist() == [2, 0.5, 0.5]


def test_a_dicom_folder_and_a_stack_of_its_files_open_as_one_volume(viewer, tmp_path):
    assert opened(viewer, CT_SERIES).data.shape == (5, 16, 16)
    paths = []
    for path in CT_SERIES.iterdir():
        paths.append(str(shutil.copy(path, tmp_path / f"{path.name}.dcm")))
    (layer,) = viewer.open(paths, stack=True, plugin=PLUGIN)
    assert layer.data.shape == (5, 16, 16)


def test_what_is_not_ours_is_left_to_others(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"x")
    assert get_reader(str(tmp_path / "photo.png")) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader([]) is None
    volumes = [str(tmp_path / name) for name in ("a.nii", "b.nii")]
    assert get_reader(volumes) is None


def test_a_broken_file_is_one_sentence(viewer, tmp_path):
    (tmp_path / "p07.nii.gz").write_bytes(b"")
    with pytest.raises(FileProblem, match=r"^'p07\.nii\.gz' is empty"):
        viewer.open(tmp_path / "p07.nii.gz", plugin=PLUGIN)
    assert len(viewer.layers) == 0


def test_contrast_ignores_a_few_extreme_voxels():
    data = np.random.default_rng(0).normal(100, 10, (40, 40, 40)).astype(np.float32)
    data[0, 0, 0] = 1e6
    low, high = contrast_limits(data)
    assert 50 < low < high < 200
    assert contrast_limits(np.full((3, 3, 3), 7)) == (7, 8)


# -- image or labels

FEW = (np.arange(60) % 4).reshape(3, 4, 5)
MANY = np.arange(60).reshape(3, 4, 5)


@pytest.mark.parametrize(
    ("name", "data", "intent", "kind"),
    [
        ("labels/p07.nii.gz", MANY.astype(np.uint8), 0, Labels),
        ("labelsTr/p07.nii.gz", MANY.astype(np.float32), 0, Labels),
        ("a/p07_seg.nii.gz", MANY.astype(np.int16), 0, Labels),
        ("a/p07-mask.nii", FEW.astype(np.uint8), 0, Labels),
        ("a/p07.nii.gz", FEW.astype(np.uint8), 0, Labels),
        ("a/p07.nii.gz", MANY.astype(np.uint8), 1002, Labels),
        ("labels/empty.nii.gz", np.zeros((3, 4, 5), np.uint8), 0, Labels),
        ("a/p07.nii.gz", MANY.astype(np.uint8), 0, Image),
        ("a/p07.nii.gz", FEW.astype(np.float32), 0, Image),
        ("a/p07.nii.gz", (FEW - 1).astype(np.int16), 0, Image),
        ("a/flat.nii.gz", np.zeros((3, 4, 5), np.uint8), 0, Image),
        ("labels/soft.nii.gz", (FEW / 2).astype(np.float32), 0, Image),
        ("a/segovia.nii.gz", MANY.astype(np.uint8), 0, Image),
        ("unlabeled/p07.nii.gz", MANY.astype(np.uint8), 0, Image),
    ],
)
def test_image_or_labels(viewer, name, data, intent, kind, tmp_path):
    layer = opened(viewer, save_nifti(tmp_path / name, data, intent=intent))
    assert type(layer) is kind


def test_slicers_segmentations_are_labels(viewer, tmp_path):
    path = tmp_path / "p07.seg.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(MANY.astype(np.uint8)), str(path))
    layer = opened(viewer, path)
    assert isinstance(layer, Labels)
    assert layer.name == "p07"


# -- saving labels


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_labels_painted_in_napari_are_saved_on_the_files_own_grid(viewer, suffix, tmp_path):
    turn = np.array([[0, -1.6, 1.8, 5], [1.5, 0, 0, -7], [0, 1.2, 2.4, 9], [0, 0, 0, 1]])
    source = save_nifti(tmp_path / "labels" / "p07.nii.gz", np.zeros((6, 5, 4), np.uint8), turn)
    layer = opened(viewer, source)
    layer.paint((2, 1, 3), 3)
    written = viewer.layers.save(str(tmp_path / f"again{suffix}"), plugin=PLUGIN)
    assert written == [str(tmp_path / f"again{suffix}")]
    saved = sitk.GetArrayFromImage(sitk.ReadImage(written[0]))
    assert saved.dtype == np.uint8
    assert set(np.unique(saved)) == {0, 3}
    if suffix.startswith(".nii"):
        before, after = nib.load(source), nib.load(written[0])
        assert (after.affine == before.affine).all()
        assert after.get_qform(coded=True)[1] == before.get_qform(coded=True)[1]
    again = opened(viewer, written[0])
    assert isinstance(again, Labels)
    assert (again.data == layer.data).all()
    assert again.metadata["geometry"].same_grid(layer.metadata["geometry"])


def test_labels_drawn_over_an_image_take_its_geometry_along(viewer, tmp_path):
    image = opened(viewer, NIBABEL / "anatomical.nii")
    layer = viewer.add_labels(
        np.zeros(image.data.shape, np.int64),
        scale=image.scale,
        translate=image.translate,
        metadata={"geometry": image.metadata["geometry"]},
    )
    layer.data[3, 4, 5] = 300
    (path,) = layer.save(str(tmp_path / "drawn.nii.gz"), plugin=PLUGIN)
    saved = nib.load(path)
    assert (saved.affine == nib.load(NIBABEL / "anatomical.nii").affine).all()
    assert saved.get_data_dtype() == np.uint16
    assert saved.dataobj[5, 36, 3] == 300  # the file's j axis runs to anterior


def test_a_layer_without_a_file_is_saved_by_its_scale_and_says_so(viewer, tmp_path):
    layer = viewer.add_labels(
        np.ones((3, 4, 5), int), scale=(2, 500, 500), translate=(1, 0, 0), units=("mm", "um", "um")
    )
    with pytest.warns(FileNote, match="no geometry of a file"):
        (path,) = layer.save(str(tmp_path / "free.nrrd"), plugin=PLUGIN)
    saved = sitk.ReadImage(path)
    assert saved.GetSpacing() == (0.5, 0.5, 2.0)
    assert saved.GetOrigin() == (0.0, 0.0, 1.0)


def test_layers_that_cannot_be_saved_are_refused(viewer, tmp_path):
    flat = viewer.add_labels(np.ones((4, 5), int))
    with pytest.raises(OSError, match="has 2 dimensions, expected 3"):
        flat.save(str(tmp_path / "flat.nii.gz"), plugin=PLUGIN)
    geometry = Geometry.from_spacing((1, 1, 1), (3, 4, 5))
    cropped = viewer.add_labels(np.ones((2, 4, 5), int), metadata={"geometry": geometry})
    with pytest.raises(OSError, match="2 x 4 x 5 but the volume has 3 x 4 x 5"):
        cropped.save(str(tmp_path / "cropped.nii.gz"), plugin=PLUGIN)
    assert not list(tmp_path.iterdir())


# -- samples


@pytest.mark.parametrize("key", ["labeled_phantoms", "validation_phantoms", "unlabeled_phantoms"])
def test_phantom_samples_open(viewer, key):
    layers = viewer.open_sample(PLUGIN, key)
    images = [layer for layer in layers if isinstance(layer, Image)]
    labels = [layer for layer in layers if isinstance(layer, Labels)]
    assert images
    assert len(labels) == (0 if key == "unlabeled_phantoms" else len(images))
    assert images[0].visible
    assert not any(image.visible for image in images[1:])
    for image, label in zip(images, labels, strict=False):
        assert label.name == f"{image.name} labels"
        assert label.data.shape == image.data.shape
        assert label.metadata["geometry"].same_grid(image.metadata["geometry"])


@pytest.mark.skipif(
    not (sample_data_path() / "pair" / "card.json").is_file(), reason="no sample pair"
)
def test_the_predicted_phantom_is_predicted_once(viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_METASSL_CACHE", str(tmp_path))
    image, confidence, prediction, regions = viewer.open_sample(PLUGIN, "predicted_phantom")
    assert prediction.name == f"{image.name} prediction"
    assert len(np.unique(prediction.data)) > 1
    assert 0.2 < confidence.data.max() <= 1
    assert set(np.unique(regions.data)) <= {1, 2, 3, 4}
    shown = {r for r in Region if regions.colormap.map(int(r))[3] > 0}
    assert shown == {Region.US, Region.DC, Region.DS}  # UC would hide the image
    (project,) = tmp_path.iterdir()
    jobs = list((project / "jobs").iterdir())
    viewer.layers.clear()
    viewer.open_sample(PLUGIN, "predicted_phantom")
    assert list((project / "jobs").iterdir()) == jobs


def test_samples_and_reader_load_neither_torch_nor_qt():
    code = (
        "import sys, napari_metassl.widgets.napari_io, napari_metassl.widgets.napari_samples\n"
        "print(*[m for m in ('torch', 'monai', 'qtpy', 'PyQt6', 'napari') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
