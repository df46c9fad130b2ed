"""What is handed on is what a person would expect to find in the file."""

import json
import re
from html.parser import HTMLParser
from io import BytesIO

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from skimage.io import imread
from test_project import GEOMETRY, SHAPE, make, write_image, write_label

from napari_metassl.data.corrections import BACKGROUND_MARK, Provenance
from napari_metassl.data.export import export
from napari_metassl.data.export_request import ExportFormat, ExportRequest, Untouched
from napari_metassl.data.geometry import Geometry
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.project import Project
from napari_metassl.data.slice_picture import png_of
from napari_metassl.data.volume_io import read_labels
from napari_metassl.errors import FileProblem, ProjectProblem

VOXEL_ML = 3 / 1000


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


def written(project, folder, *names, **options):
    """Export, and return the paths by their names."""
    request = ExportRequest(folder, volumes=names, **options)
    return {path.name: path for path in export(project, request).written}


def correct_p3(project, who="ann"):
    """One voxel confirmed, two corrected; the prediction is 1 in slices 0, 1 and 2 behind."""
    corrections = project.corrections("p3")
    corrections.labels[0, 0, :3] = [1, 2, BACKGROUND_MARK]
    corrections.record("paint", None, project.prediction("p3").merged_view(), who=who)
    return corrections


def test_prediction_overlaid_by_corrections(project, tmp_path) -> None:
    correct_p3(project)
    found = written(project, tmp_path / "out", "p3")
    assert set(found) == {
        "p3.nii.gz", "p3_provenance.nii.gz", "p3_report.json", "p3_report.html",
    }  # fmt: skip
    labels = read_labels(found["p3.nii.gz"]).data
    provenance = read_labels(found["p3_provenance.nii.gz"]).data
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


@pytest.mark.parametrize("form", [form for form in ExportFormat if form is not ExportFormat.NNUNET])
def test_manual_labels_come_before_the_prediction(project, tmp_path, form) -> None:
    found = written(project, tmp_path / "out", "p1", format=form, report=False)
    assert set(found) == {f"p1.{form}", f"p1_provenance.{form}"}
    labels = read_labels(found[f"p1.{form}"])
    np.testing.assert_array_equal(labels.data, project.load_labels("p1").data)
    assert (read_labels(found[f"p1_provenance.{form}"]).data == Provenance.MANUAL).all()
    assert labels.geometry.same_grid(project.geometry("p1"), tolerance=1e-6)


def test_the_file_lies_on_the_grid_of_the_image(project, tmp_path) -> None:
    path = written(project, tmp_path / "out", "p3")["p3.nii.gz"]
    image = nibabel.load(project.image_paths("p3")[0])
    exported = nibabel.load(path)
    assert exported.shape == image.shape
    np.testing.assert_array_equal(exported.affine, image.affine)


def test_corrections_alone_can_be_exported_and_nothing_cannot(project, tmp_path) -> None:
    with pytest.raises(ProjectProblem, match=r"'p4' has no label.* Predict it first"):
        written(project, tmp_path / "out", "p4")
    corrections = project.corrections("p4")
    corrections.labels[1, 1] = 2
    corrections.record("fill")
    found = written(project, tmp_path / "out", "p4")
    labels, provenance = (
        read_labels(found[name]).data for name in ("p4.nii.gz", "p4_provenance.nii.gz")
    )
    np.testing.assert_array_equal(labels, corrections.labels)
    assert ((provenance == Provenance.CORRECTED) == (labels == 2)).all()


def test_all_volumes_leave_out_those_that_have_nothing(project, tmp_path) -> None:
    seen = []
    done = export(
        project,
        ExportRequest(tmp_path / "out", provenance=False, report=False),
        lambda name, share: seen.append((name, share)),
    )
    assert [path.name for path in done.written] == ["p1.nii.gz", "p2.nii.gz", "p3.nii.gz"]
    assert len(done.left_out) == 1 and "'p4'" in done.left_out[0]
    assert seen == [("p1", 0.0), ("p2", 0.25), ("p3", 0.5), ("p4", 0.75)]


def test_nothing_is_replaced_unless_it_may_be(project, tmp_path) -> None:
    out = tmp_path / "out"
    written(project, out, "p1")
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ProjectProblem, match=r"'p1.nii.gz' and 3 more would be replaced"):
        export(project, ExportRequest(out))
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    (out / "p1.nii.gz").write_bytes(b"old")
    written(project, out, "p1", replace=True)
    assert (out / "p1.nii.gz").read_bytes() == before[out / "p1.nii.gz"]


@pytest.mark.parametrize("form", [ExportFormat.NII_GZ, ExportFormat.SEG_NRRD, ExportFormat.NNUNET])
def test_a_disk_that_refuses_is_one_sentence_and_leaves_nothing(
    project, tmp_path, monkeypatch, form
) -> None:
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    for name in ("volume_io.write_nifti", "volume_io.write_itk", "nnunet_export.shutil.copyfile"):
        monkeypatch.setattr(f"napari_metassl.data.{name}", full)
    with pytest.raises(FileProblem, match=r"No space left on device.*choose another") as said:
        export(project, ExportRequest(tmp_path / "out", form))
    assert ".part" not in str(said.value) and len(str(said.value).splitlines()) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_page_that_cannot_be_written_takes_the_labels_with_it(
    project, tmp_path, monkeypatch
) -> None:
    def refuse(*_args):
        raise OSError(28, "No space left on device")

    written(project, tmp_path / "out", "p1")
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    corrections = project.corrections("p1")
    corrections.labels[0] = 2
    corrections.record("fill")
    monkeypatch.setattr("napari_metassl.data.export.report_page", refuse)
    with pytest.raises(FileProblem, match=r"'p1.nii.gz' could not be written"):
        written(project, tmp_path / "out", "p1", replace=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_folder_that_cannot_be_made_is_said(project, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    for form in (ExportFormat.NII_GZ, ExportFormat.NNUNET):
        with pytest.raises(FileProblem, match="choose another folder"):
            export(project, ExportRequest(tmp_path / "file" / "out", form))


# -- 3D Slicer


def test_slicer_finds_names_colours_and_extents(tmp_path) -> None:
    # Axes turned and flipped: extents are along the file's axes, not along ours.
    turned = np.array([[0, 0, 2.5, -7], [-1.5, 0, 0, 30], [0, -1.25, 0, 11], [0, 0, 0, 1.0]])
    geometry = Geometry.from_file(turned, (9, 7, 5))
    write_image_on(tmp_path / "images" / "p1.nrrd", geometry)
    project = Project.create(
        tmp_path / "project",
        tmp_path / "images",
        class_names=("background", "left atrium", "aorta", "never seen"),
        class_colors=("#000000", "#ff0000", "#0080ff", "#123456"),
    )
    corrections = project.corrections("p1")
    source = project.geometry("p1").source
    in_file = np.zeros((9, 7, 5), np.uint8)
    in_file[2:5, 1:3, 4] = 1
    in_file[8, 6, 0] = 2
    corrections.labels[...] = source.to_canonical(in_file)
    corrections.record("paint")
    found = written(project, tmp_path / "out", "p1", format=ExportFormat.SEG_NRRD)
    image = sitk.ReadImage(str(found["p1.seg.nrrd"]))
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    names = [fields[f"Segment{n}_Name"] for n in range(3)]
    assert names == ["left atrium", "aorta", "never seen"]
    assert [fields[f"Segment{n}_LabelValue"] for n in range(3)] == ["1", "2", "3"]
    assert [fields[f"Segment{n}_Layer"] for n in range(3)] == ["0"] * 3
    assert len({fields[f"Segment{n}_ID"] for n in range(3)}) == 3
    assert fields["Segment0_Extent"] == "2 4 1 2 4 4"
    assert fields["Segment1_Extent"] == "8 8 6 6 0 0"
    assert fields["Segment2_Extent"] == "0 -1 0 -1 0 -1"
    assert fields["Segment1_Color"].split() == ["0", "0.501961", "1"]
    assert fields["Segmentation_SourceRepresentation"] == "Binary labelmap"
    original = sitk.ReadImage(str(tmp_path / "images" / "p1.nrrd"))
    for exact in ("GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        assert getattr(image, exact)() == getattr(original, exact)()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, in_file)
    header = found["p1.seg.nrrd"].read_bytes().split(b"\n\n")[0]
    assert b"space: left-posterior-superior" in header and b"Segment0_Name:=left atrium" in header
    kinds = sitk.ReadImage(str(found["p1_provenance.seg.nrrd"]))
    assert kinds.GetMetaData("Segment1_Name") == "corrected"


def write_image_on(path, geometry) -> None:
    from napari_metassl.data.volume_io import write_volume

    write_volume(path, np.zeros(geometry.shape, np.float32), geometry)


# -- nnU-Net


def test_nnunet_layout_and_description(project, tmp_path) -> None:
    correct_p3(project)
    done = export(project, ExportRequest(tmp_path, ExportFormat.NNUNET, channels=("CT",)))
    assert done.folder == tmp_path / "Dataset501_Project"
    found = {path.relative_to(done.folder).as_posix() for path in done.written}
    assert found == {
        "dataset.json",
        "imagesTr/p1_0000.nii.gz", "labelsTr/p1.nii.gz",
        "imagesTr/p3_0000.nii.gz", "labelsTr/p3.nii.gz",
        "imagesTs/p2_0000.nii.gz", "labelsTs/p2.nii.gz",
        "imagesTs/p4_0000.nii.gz",
    }  # fmt: skip
    said = json.loads((done.folder / "dataset.json").read_text())
    assert said["channel_names"] == {"0": "CT"}
    assert said["labels"] == {"background": 0, "class 1": 1, "class 2": 2, "ignore": 3}
    assert said["numTraining"] == 2 and said["file_ending"] == ".nii.gz"
    image = (done.folder / "imagesTr" / "p1_0000.nii.gz").read_bytes()
    assert image == project.image_paths("p1")[0].read_bytes()
    label = nibabel.load(done.folder / "labelsTr" / "p3.nii.gz")
    np.testing.assert_array_equal(label.affine, nibabel.load(project.image_paths("p3")[0]).affine)
    seen = read_labels(done.folder / "labelsTr" / "p3.nii.gz").data
    assert seen[0, 0, :3].tolist() == [1, 2, 0]
    assert (seen == 3).sum() == seen.size - 3  # nobody saw the others

    again = export(project, ExportRequest(tmp_path, ExportFormat.NNUNET))
    assert again.folder.name == "Dataset502_Project"  # nothing is replaced


def test_nnunet_may_take_what_is_predicted(project, tmp_path) -> None:
    correct_p3(project)
    request = ExportRequest(tmp_path, ExportFormat.NNUNET, untouched=Untouched.PREDICTED)
    done = export(project, request)
    said = json.loads((done.folder / "dataset.json").read_text())
    assert "ignore" not in said["labels"] and said["channel_names"] == {"0": "channel 1"}
    assert set(np.unique(read_labels(done.folder / "labelsTr" / "p3.nii.gz").data)) == {0, 1, 2}


def test_nnunet_needs_labels_and_one_number_of_channels(project, tmp_path) -> None:
    with pytest.raises(ProjectProblem, match="no labeled and no corrected volume"):
        export(project, ExportRequest(tmp_path / "a", ExportFormat.NNUNET, ("p4",)))
    record = project.volume("p4")
    two = record.model_copy(update={"images": record.images * 2})
    volumes = (*project.volumes()[:-1], two)
    project.file = project.file.model_copy(update={"volumes": volumes})
    with pytest.raises(ProjectProblem, match="'p4' has 2 channels"):
        export(project, ExportRequest(tmp_path / "a", ExportFormat.NNUNET))
    assert list((tmp_path / "a").iterdir()) == []


def test_nnunet_turns_other_images_into_nifti_on_the_same_grid(tmp_path) -> None:
    write_image_on(tmp_path / "images" / "p1.nrrd", GEOMETRY)
    project = Project.create(tmp_path / "project", tmp_path / "images", name="7 hearts, new")
    corrections = project.corrections("p1")
    corrections.labels[0] = 1
    corrections.record("fill")
    done = export(project, ExportRequest(tmp_path, ExportFormat.NNUNET))
    assert done.folder.name == "Dataset501_7HeartsNew"
    image = nibabel.load(done.folder / "imagesTr" / "p1_0000.nii.gz")
    label = nibabel.load(done.folder / "labelsTr" / "p1.nii.gz")
    np.testing.assert_array_equal(image.affine, label.affine)
    assert image.shape == label.shape == SHAPE[::-1]


# -- the report


def test_the_report_says_what_was_changed_when_and_by_whom(project, tmp_path) -> None:
    corrections = correct_p3(project)
    corrections.labels[3, 1] = 1  # a row of class 2 in the prediction
    corrections.record("fill", None, project.prediction("p3").merged_view(), who="Zoë")
    corrections.undo_last(who="Zoë")
    corrections.labels[3, 1] = 1
    corrections.record("fill", None, project.prediction("p3").merged_view(), who="Zoë")
    row = SHAPE[2]
    found = written(project, tmp_path / "out", "p3")
    said = json.loads(found["p3_report.json"].read_text(encoding="utf-8"))
    assert said["edit_count"] == 4 and [edit["voxels"] for edit in said["edits"]] == [3] + [row] * 3
    assert said["edits"][2]["undoes"] == said["edits"][1]["seq"]
    work = {person["who"]: (person["edits"], person["voxels"]) for person in said["people"]}
    assert work == {"ann": (1, 3), "Zoë": (3, 3 * row)}
    changes = {(c["before"], c["after"]): c["voxels"] for c in said["changes"]}
    assert changes == {
        ("class 2", "class 1"): row, ("class 1", "class 2"): 1, ("class 1", "background"): 1,
    }  # fmt: skip
    plane = SHAPE[1] * SHAPE[2]
    sizes = {size["name"]: (size["before_ml"], size["after_ml"]) for size in said["classes"]}
    assert sizes["class 1"] == pytest.approx(
        (2 * plane * VOXEL_ML, (2 * plane - 2 + row) * VOXEL_ML)
    )
    assert sizes["class 2"] == pytest.approx(
        ((SHAPE[0] - 2) * plane * VOXEL_ML, ((SHAPE[0] - 2) * plane + 1 - row) * VOXEL_ML)
    )
    shares = {share["name"]: share["voxels"] for share in said["provenance"]}
    assert shares["corrected"] == 2 + row and shares["confirmed"] == 1
    assert said["pair"]["name"] == "pair" and said["below"] == "prediction of the pair"
    assert said["files"] == list(found)


class Page(HTMLParser):
    """Text and pictures of a page, and whether its tags close."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text, self.images, self.links, self._open = "", [], [], []
        self.feed(content)
        assert not self._open, self._open

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.links += [value for key, value in given.items() if key in ("href", "src")]
        if tag == "img":
            self.images.append(given)
        elif tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def test_the_page_needs_no_other_file_and_shows_the_slices(project, tmp_path) -> None:
    corrections = correct_p3(project, who="<script>alert(1)</script>")
    corrections.labels[3, 1:4, 2:5] = 1
    corrections.record("fill", None, project.prediction("p3").merged_view(), who="ann")
    path = written(project, tmp_path / "out", "p3")["p3_report.html"]
    content = path.read_text(encoding="utf-8")
    assert "<script" not in content and "@media print" in content
    page = Page(content)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert len(page.images) == 4  # slices 1 and 4, before and after
    assert "class 2 → class 1" in page.text and "Slice 4 of" in page.text
    assert re.search(r"class 1\s+[\d.]+", page.text)


def test_png_holds_the_pixels(tmp_path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 11, 3), dtype=np.uint8)
    np.testing.assert_array_equal(imread(BytesIO(png_of(pixels))), pixels)


def test_a_large_journal_is_listed_in_part_on_the_page_and_whole_in_the_file(
    project, tmp_path
) -> None:
    corrections = project.corrections("p4")
    for n in range(60):
        corrections.labels.reshape(-1)[n] = 1
        corrections.record(f"stroke {n}")
    found = written(project, tmp_path / "out", "p4")
    page = Page(found["p4_report.html"].read_text(encoding="utf-8"))
    assert "20 before them" in page.text and "stroke 59" in page.text
    assert "stroke 19 " not in page.text
    assert len(json.loads(found["p4_report.json"].read_text())["edits"]) == 60
