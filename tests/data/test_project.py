"""Projects as a person makes and opens them."""

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.model_card import WEIGHT_FILES, ModelCard
from napari_metassl.data.prediction import PredictionCard, PredictionPair
from napari_metassl.data.project import Project
from napari_metassl.data.project_creation import group_channels, read_names
from napari_metassl.data.sample import sample_data_path, sample_project
from napari_metassl.data.volume_io import write_labels, write_volume
from napari_metassl.errors import FileProblem, MetaSSLError, PairProblem, ProjectProblem
from napari_metassl.method.network_config import NetworkConfig

SHAPE = (4, 6, 8)
GEOMETRY = Geometry.from_spacing((3, 1, 1), SHAPE)


def write_image(path: Path, geometry: Geometry = GEOMETRY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.arange(np.prod(geometry.shape), dtype=np.float32).reshape(geometry.shape)
    write_volume(path, data, geometry)


def write_label(path: Path, highest: int = 2, geometry: Geometry = GEOMETRY) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(geometry.shape, np.uint16)
    labels[1, 2, :4] = np.minimum(np.arange(4), highest)
    labels[2, 2, 2] = highest
    write_labels(path, labels, geometry)


@pytest.fixture
def data(tmp_path) -> Path:
    """Five volumes, three of them with labels."""
    for name in ("p1", "p2", "p3", "p4", "p5"):
        write_image(tmp_path / "data" / "images" / f"{name}.nii.gz")
    for name in ("p1", "p2", "p3"):
        write_label(tmp_path / "data" / "labels" / f"{name}.nrrd")
    return tmp_path / "data"


def make(data: Path, **options) -> Project:
    folder = options.pop("folder", data.parent / "project")
    options = {"labels": data / "labels", "labeled": ["p1"], "validation": ["p2"]} | options
    return Project.create(folder, data / "images", **options)


def model_card(classes: int, **options) -> ModelCard:
    network = NetworkConfig(architecture="UNet", classes=classes)
    names = ("background", *(f"part {k}" for k in range(1, classes)))
    return ModelCard(
        name="pair",
        class_names=names,
        supervised=network,
        reference=network,
        patch_size=(32, 32, 32),
        **options,
    )


def write_pair(folder: Path, classes: int) -> Path:
    folder.mkdir(parents=True)
    sums = dict.fromkeys(WEIGHT_FILES, sha256(b"weights").hexdigest())
    (folder / "card.json").write_text(model_card(classes, sha256=sums).model_dump_json())
    for file in WEIGHT_FILES:
        (folder / file).write_bytes(b"weights")
    return folder


def test_a_project_from_folders_opens_again(data) -> None:
    made = make(data)
    project = Project.open(data.parent / "project")
    assert project.file == made.file
    assert project.name == "project"
    assert {v.name: v.role for v in project.volumes()} == {
        "p1": "labeled",
        "p2": "validation",
        "p3": "unlabeled",
        "p4": "unlabeled",
        "p5": "unlabeled",
    }
    assert [v.name for v in project.volumes("labeled")] == ["p1"]
    assert project.class_names == ("background", "class 1", "class 2")
    assert len(set(project.class_colors)) == project.classes == 3
    image = project.load_image("p4")
    assert [(v.name, v.shape) for v in image] == [("p4", SHAPE)]
    assert project.geometry("p4").spacing == pytest.approx((3, 1, 1))
    assert project.load_labels("p1").data.max() == 2
    assert Project.open(data.parent / "project" / "project.json").file == made.file


def test_labels_of_unlabeled_volumes_are_not_even_noted(data) -> None:
    project = make(data)
    assert project.load_labels("p3") is None
    assert "labels/p3" not in (project.folder / "project.json").read_text()
    (data / "labels" / "p3.nrrd").write_bytes(b"never looked at")
    make(data, folder=data.parent / "second")


def test_without_a_list_all_that_have_labels_are_labeled(data) -> None:
    project = make(data, labeled=None, validation=["p3"])
    assert [v.name for v in project.volumes("labeled")] == ["p1", "p2"]
    project = make(data, folder=data / "p", labels=None, labeled=None, validation=())
    assert {v.role for v in project.volumes()} == {"unlabeled"}
    assert project.class_names == ("background", "class 1")


def test_paths_inside_the_project_are_relative_and_it_can_be_moved(data) -> None:
    write_image(data / "elsewhere" / "q.nii.gz")
    project = make(data, folder=data)
    stored = project.volume("p1")
    assert (stored.images, stored.labels) == (("images/p1.nii.gz",), "labels/p1.nrrd")
    data.rename(data.parent / "moved")
    assert Project.open(data.parent / "moved").load_image("p1")[0].shape == SHAPE
    outside = make(data.parent / "moved", folder=data.parent / "outside")
    assert Path(outside.volume("p1").images[0]).is_absolute()


def test_links_to_images_elsewhere_are_kept_as_links(data) -> None:
    folder = data.parent / "project"
    (folder / "images").mkdir(parents=True)
    for name in ("a", "b"):
        (folder / "images" / f"{name}.nii.gz").symlink_to(data / "images" / "p1.nii.gz")
    project = Project.create(folder, folder / "images")
    assert project.volume("b").images == ("images/b.nii.gz",)
    assert project.load_image("b")[0].name == "b"


def test_numbered_files_are_channels_of_one_volume(tmp_path) -> None:
    for name in ("a_0000", "a_0001", "b_0000", "b_0001"):
        write_image(tmp_path / "images" / f"{name}.nii.gz")
    write_label(tmp_path / "labels" / "a.nii.gz")
    project = Project.create(tmp_path / "p", tmp_path / "images", labels=tmp_path / "labels")
    assert [(v.name, len(v.images), v.role) for v in project.volumes()] == [
        ("a", 2, "labeled"),
        ("b", 2, "unlabeled"),
    ]
    assert len(project.load_image("b")) == 2


def paths(*names: str) -> dict[str, Path]:
    return {name: Path(f"{name}.nii.gz") for name in names}


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a_0000", "b"], []),  # not all are numbered
        (["a_0001", "a_0002"], []),  # does not begin at 0000
        (["a_0000", "a_0002"], []),  # a gap
        (["a_0000", "a_0001"], ["a_0001"]),  # the label says it is a case of its own
        ([f"a_{k:04}" for k in range(9)], []),  # more than any image has channels
        (["a_00", "a_01"], []),
    ],
)
def test_numbers_that_are_no_channels_are_names(names, labels) -> None:
    assert list(group_channels(paths(*names), labels)) == names


def test_a_missing_channel_is_said() -> None:
    with pytest.raises(ProjectProblem, match="'b' has 1 channel files but 'a' has 2"):
        group_channels(paths("a_0000", "a_0001", "b_0000"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labeled": ["p9"]}, "'p9' as a labeled volume, but there is no image of this name"),
        ({"labeled": ["p1x"]}, "did you mean 'p1'"),
        ({"labeled": ["p4"]}, "'p4' as a labeled volume, but it has no label"),
        ({"validation": ["p5"]}, "'p5' as a validation volume, but it has no label"),
        ({"validation": ["p1"]}, "'p1' as a labeled and as a validation volume"),
        ({"labels": None}, "'p1' as a labeled volume, but it has no label"),
        ({"labels": Path("/nowhere")}, "'/nowhere' does not exist"),
        ({"class_names": ["background", "one"]}, "values from 0 to 2 .* expected 0 to 1"),
        ({"class_names": ["background"]}, "1 class names, expected 2 to 128"),
        ({"class_names": ["background", "one", "one"]}, "one is empty or comes twice"),
        ({"class_names": ["background", "one", ""]}, "one is empty or comes twice"),
        ({"class_colors": ["#000000"]}, "1 class_colors for 3"),
        ({"class_colors": ["#000000", "red", "#00ff00"]}, "'red', expected #rrggbb"),
    ],
)
def test_what_does_not_fit_is_one_sentence_and_makes_no_project(data, options, message) -> None:
    with pytest.raises(MetaSSLError, match=message) as caught:
        make(data, **options)
    assert "\n" not in str(caught.value)
    assert not (data.parent / "project" / "project.json").exists()


def test_files_that_do_not_fit_are_said(data, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProjectProblem, match="holds no volume"):
        Project.create(tmp_path / "p", tmp_path / "empty")
    with pytest.raises(ProjectProblem, match="does not exist"):
        Project.create(tmp_path / "p", tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("p1")
    with pytest.raises(ProjectProblem, match=r"'.*notes.txt' is a file, expected a folder"):
        Project.create(tmp_path / "p", tmp_path / "notes.txt")
    with pytest.raises(ProjectProblem, match=r"'.*notes.txt' is a file, expected a new or empty"):
        make(data, folder=tmp_path / "notes.txt")
    write_label(data / "labels" / "p6.nrrd")
    with pytest.raises(ProjectProblem, match=r"'p6.nrrd' has no image of the same name"):
        make(data)
    (data / "labels" / "p6.nrrd").unlink()
    write_label(data / "labels" / "p1.nrrd", geometry=Geometry.from_spacing((3, 1, 1), (4, 6, 9)))
    with pytest.raises(ProjectProblem, match=r"'labels/p1.nrrd' .* \(4, 6, 9\) but .* \(4, 6, 8\)"):
        make(data)
    moved = Geometry.from_spacing((3, 1, 1), SHAPE, origin=(0, 5, 0))
    write_label(data / "labels" / "p1.nrrd", geometry=moved)
    with pytest.raises(ProjectProblem, match="elsewhere in space"):
        make(data)
    write_label(data / "labels" / "p1.nrrd", highest=200)
    with pytest.raises(ProjectProblem, match=r"0 to 200 .* expected 0 to 127"):
        make(data)


def test_a_second_project_in_one_folder_is_refused(data) -> None:
    first = make(data)
    before = (first.folder / "project.json").read_bytes()
    with pytest.raises(ProjectProblem, match="already holds a project"):
        make(data, labeled=["p3"])
    assert (first.folder / "project.json").read_bytes() == before


def changed(**fields):
    return lambda content: json.dumps(content | fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: "{", "cannot be read as JSON"),
        (lambda content: "[]", "holds a list, expected an object"),
        (changed(format_version=2), "format_version 2, expected 1.*update napari-metassl"),
        (changed(format_version=None), "format_version None"),
        (changed(volumes=7), "not a project: volumes"),
        (changed(class_names=["one"]), "not a project: class_names"),
        (changed(current_pair="../pair"), "as the name of a pair"),
        (changed(volumes=[{"name": "../p", "images": ["a"]}]), "as the name of a volume"),
        (
            changed(volumes=[{"name": "p", "images": ["../../etc/p"]}]),
            "inside the project's folder",
        ),
        (changed(volumes=[{"name": "p", "images": []}]), "images"),
        (changed(volumes=[{"name": "p", "images": ["a"], "role": "labeled"}]), "has no labels"),
        (changed(volumes=[{"name": n, "images": ["a"]} for n in ("p", "P")]), "'p' twice"),
    ],
)
def test_a_project_file_that_is_wrong_is_one_sentence(data, change, message) -> None:
    project = make(data)
    path = project.folder / "project.json"
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(ProjectProblem, match=message) as caught:
        Project.open(project.folder)
    assert "\n" not in str(caught.value)


def test_missing_things_are_said(data, tmp_path) -> None:
    with pytest.raises(ProjectProblem, match=r"holds no project\.json"):
        Project.open(tmp_path)
    project = make(data)
    with pytest.raises(ProjectProblem, match="no volume 'p77'"):
        project.load_image("p77")
    (data / "images" / "p4.nii.gz").rename(data / "gone")
    with pytest.raises(ProjectProblem, match=r"image of volume 'p4' is not at '.*p4.nii.gz'"):
        project.load_image("p4")


def test_saving_never_leaves_half_a_file(data, monkeypatch) -> None:
    project = make(data)
    before = (project.folder / "project.json").read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(FileProblem, match=r"No space left.*Free space"):
        project.save()
    assert (project.folder / "project.json").read_bytes() == before
    assert [p.name for p in project.folder.iterdir()] == ["project.json"]


def test_predictions_are_kept_by_volume(data) -> None:
    project = make(data)
    assert project.prediction("p4") is None
    assert project.prediction_card("p4") is None
    card = PredictionCard.of_pair(model_card(3, thresholds=((0.9, 0.8, 0.7), (0.6, 0.5, 0.4))))
    labels = np.ones((2, *SHAPE), np.uint8)
    levels = np.full((2, *SHAPE), 200, np.uint8)
    pair = PredictionPair.from_labels_and_confidence(labels, levels, GEOMETRY, card)
    pair.save(project.prediction_folder("p4"))
    assert project.prediction_card("p4") == card
    np.testing.assert_array_equal(project.prediction("p4").codes, pair.codes)
    assert (card.pair_name, card.thresholds[1]) == ("pair", (0.6, 0.5, 0.4))


def test_pairs_are_copied_in_and_chosen(data, tmp_path) -> None:
    project = make(data)
    assert (project.pairs(), project.pair_path()) == ([], None)
    assert project.add_pair(write_pair(tmp_path / "from outside", 3), "first") == "first"
    project.set_current_pair("first")
    reopened = Project.open(project.folder)
    assert reopened.pair_path() == project.folder / "pairs" / "first"
    assert (reopened.pair_path() / "supervised.safetensors").read_bytes() == b"weights"
    assert [(path.name, card.name) for path, card in reopened.pairs()] == [("first", "pair")]
    with pytest.raises(PairProblem, match="already has a pair 'first'"):
        project.add_pair(tmp_path / "from outside", "first")
    with pytest.raises(PairProblem, match="has 4 classes but project 'project' has 3"):
        project.add_pair(write_pair(tmp_path / "other", 4))
    with pytest.raises(PairProblem, match="not a model pair"):
        project.set_current_pair("second")
    with pytest.raises(ProjectProblem, match="name of a pair"):
        project.set_current_pair("../first")
    assert Project.open(project.folder).file.current_pair == "first"
    project.set_current_pair(None)
    assert Project.open(project.folder).pair_path() is None


@pytest.mark.parametrize("file", ["supervised.safetensors", "reference.safetensors"])
def test_a_damaged_pair_is_not_taken_in(data, tmp_path, file) -> None:
    project = make(data)
    outside = write_pair(tmp_path / "outside", 3)
    (outside / file).write_bytes(b"weight")
    with pytest.raises(PairProblem, match=f"outside/{file}' was changed after it was saved"):
        project.add_pair(outside)
    (outside / file).unlink()
    with pytest.raises(PairProblem, match=f"The pair has no .*{file}"):
        project.add_pair(outside)
    assert project.pairs() == [] and not project.pairs_folder.exists()


def test_only_the_files_of_a_pair_are_copied(data, tmp_path) -> None:
    project = make(data)
    outside = write_pair(tmp_path / "outside", 3)
    (outside / "scan.nii").write_bytes(b"a folder may hold more")
    project.add_pair(outside)
    copied = {path.name for path in (project.pairs_folder / "outside").iterdir()}
    assert copied == {"card.json", *WEIGHT_FILES}


def test_a_project_without_labels_takes_the_classes_of_its_pair(data, tmp_path) -> None:
    project = make(data, labels=None, labeled=None, validation=())
    project.add_pair(write_pair(tmp_path / "heart", 4))
    project.set_current_pair("heart")
    assert Project.open(project.folder).class_names == (
        "background",
        "part 1",
        "part 2",
        "part 3",
    )


def test_what_was_painted_keeps_its_classes(data, tmp_path) -> None:
    names = ("background", "atrium", "ventricle")
    project = make(data, labels=None, labeled=None, validation=(), class_names=names)
    project.corrections("p1")  # looking is no edit
    project.add_pair(write_pair(tmp_path / "four", 4))
    corrections = project.corrections("p2")
    corrections.labels[0, 0, 0] = 2
    corrections.record("paint")
    with pytest.raises(PairProblem, match="has 4 classes but project 'project' has 3"):
        project.set_current_pair("four")
    project.add_pair(write_pair(tmp_path / "three", 3))
    project.set_current_pair("three")
    assert Project.open(project.folder).class_names == names


def test_training_labels_join_manual_labels_and_corrections(data) -> None:
    project = make(data)
    assert project.training_labels("p3") is None
    assert not project.corrections_folder.exists()  # asking leaves no trace
    label, corrected = project.training_labels("p1")
    assert corrected is None
    np.testing.assert_array_equal(label, project.load_labels("p1").data)
    for name in ("p1", "p3"):
        corrections = project.corrections(name)
        assert project.corrections(name) is corrections
        corrections.labels[0, 0, 0] = 1
        corrections.record("paint")
        # Another process, such as a fine-tuning job, reads while the window is open.
        label, corrected = Project.open(project.folder).training_labels(name)
        assert label[0, 0, 0] == 1
        assert corrected.sum() == 1
        assert (label == -1).sum() == (0 if name == "p1" else label.size - 1)
    with pytest.raises(ProjectProblem, match="'p2' is a validation volume"):
        project.training_labels("p2")
    corrections.labels[0, 0, 1] = 77
    corrections.record("paint")
    with pytest.raises(ProjectProblem, match=r"1 voxels of value 77 .* 0 to 2"):
        project.training_labels("p3")
    project.close()
    Project.open(project.folder).corrections("p1").close()


def test_a_list_of_names_may_hold_file_names_and_remarks(tmp_path) -> None:
    (tmp_path / "list.txt").write_text("\ufeffp1\n\n# old ones\n p2.nii.gz  # noisy\r\np3\n")
    assert read_names(tmp_path / "list.txt") == ["p1", "p2", "p3"]
    with pytest.raises(ProjectProblem, match="cannot be read"):
        read_names(tmp_path / "nowhere.txt")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProjectProblem, match="it is no UTF-8 text"):
        read_names(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("# none yet\n")
    with pytest.raises(ProjectProblem, match="holds no name"):
        read_names(tmp_path / "list.txt")


def sample_is_there() -> bool:
    try:
        return any((sample_data_path() / "images").iterdir())
    except (FileProblem, OSError):
        return False


@pytest.mark.skipif(not sample_is_there(), reason="the sample volumes are not made yet")
def test_the_sample_project_is_complete(tmp_path) -> None:
    project = sample_project(tmp_path / "sample")
    split = json.loads((sample_data_path() / "split.json").read_text())
    assert [v.name for v in project.volumes("labeled")] == split["labeled"]
    assert [v.name for v in project.volumes("validation")] == split["validation"]
    assert not Path(project.volume(split["labeled"][0]).images[0]).is_absolute()
    with pytest.raises(ProjectProblem, match="not an empty folder"):
        sample_project(tmp_path / "sample")
