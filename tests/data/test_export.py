"""What is handed on is what a person would expect to find in the file."""

import nibabel
import numpy as np
import pytest
from test_project import GEOMETRY, SHAPE, make, write_image, write_label

from napari_metassl.data.corrections import BACKGROUND_MARK, Provenance
from napari_metassl.data.export import export_volume
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.volume_io import read_labels
from napari_metassl.errors import FileProblem, ProjectProblem


@pytest.fixture
def project(tmp_path):
    for name in ("p1", "p2", "p3", "p4"):
        write_image(tmp_path / "data" / "images" / f"{name}.nii.gz")
    write_label(tmp_path / "data" / "labels" / "p1.nii.gz")
    write_label(tmp_path / "data" / "labels" / "p2.nii.gz")
    project = make(tmp_path / "data")
    labels = np.full((2, *SHAPE), 1, np.uint8)
    labels[1] = 2
    levels = np.zeros((2, *SHAPE), np.uint8)
    levels[0, :2] = levels[1, 2:] = 200
    card = PredictionCard(pair_name="pair", classes=3)
    pair = PredictionPair.from_labels_and_confidence(labels, levels, GEOMETRY, card)
    pair.save(project.prediction_folder("p3"))
    pair.save(project.prediction_folder("p1"))
    return project


def read(paths) -> tuple[np.ndarray, np.ndarray]:
    return read_labels(paths[0]).data, read_labels(paths[1]).data


def test_prediction_overlaid_by_corrections(project) -> None:
    corrections = project.corrections("p3")
    corrections.labels[0, 0, :3] = [1, 2, BACKGROUND_MARK]
    corrections.record("paint", None, project.prediction("p3").merged_view())
    paths = export_volume(project, "p3")
    assert [path.name for path in paths] == ["p3.nii.gz", "p3_provenance.nii.gz"]
    assert paths[0].parent == project.folder / "exports"
    labels, provenance = read(paths)
    expected = np.ones(SHAPE, np.uint8)
    expected[2:] = 2
    expected[0, 0, 1:3] = [2, 0]
    np.testing.assert_array_equal(labels, expected)
    assert provenance[0, 0, :3].tolist() == [
        Provenance.CONFIRMED,
        Provenance.CORRECTED,
        Provenance.CORRECTED,
    ]
    assert (provenance == Provenance.PREDICTED).sum() == provenance.size - 3


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_manual_labels_come_before_the_prediction(project, tmp_path, suffix) -> None:
    labels, provenance = read(export_volume(project, "p1", tmp_path / "out", suffix))
    np.testing.assert_array_equal(labels, project.load_labels("p1").data)
    assert (provenance == Provenance.MANUAL).all()


def test_the_file_lies_on_the_grid_of_the_image(project, tmp_path) -> None:
    path, _ = export_volume(project, "p3", tmp_path)
    image = nibabel.load(project.image_paths("p3")[0])
    written = nibabel.load(path)
    assert written.shape == image.shape
    np.testing.assert_array_equal(written.affine, image.affine)


def test_corrections_alone_can_be_exported_and_nothing_cannot(project, tmp_path) -> None:
    with pytest.raises(ProjectProblem, match=r"'p4' has no label.* Predict it first"):
        export_volume(project, "p4", tmp_path)
    corrections = project.corrections("p4")
    corrections.labels[1, 1] = 2
    corrections.record("fill")
    labels, provenance = read(export_volume(project, "p4", tmp_path))
    np.testing.assert_array_equal(labels, corrections.labels)
    assert ((provenance == Provenance.CORRECTED) == (labels == 2)).all()
    with pytest.raises(FileProblem, match="suffix"):
        export_volume(project, "p4", tmp_path, ".png")
