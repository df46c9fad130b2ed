import numpy as np
import pytest
from conftest import finished

from napari_metassl.data.geometry import Geometry
from napari_metassl.data.model_card import ModelCard
from napari_metassl.data.model_pair import ModelPair, load_pair, new_pair, save_pair
from napari_metassl.data.volume_figures import read_figures
from napari_metassl.data.volume_io import read_labels, write_labels
from napari_metassl.errors import JobProblem
from napari_metassl.jobs.compare import score_volumes
from napari_metassl.jobs.evaluate import evaluate_folder
from napari_metassl.jobs.job import Job, JobStatus
from napari_metassl.jobs.local import LocalExecutor
from napari_metassl.jobs.predict import predict_volume
from napari_metassl.jobs.specs import PredictSpec
from napari_metassl.jobs.worker import run_job
from napari_metassl.method.network_config import NetworkConfig


def here(project, **changes) -> Job:
    """Do a predict job in this process."""
    spec = PredictSpec(project=project.folder, pair=project.pairs_folder / "first", **changes)
    job = Job.create(project.jobs_folder, spec.model_dump(mode="json"), kind=spec.kind)
    run_job(job)
    return job


def test_predicts_all_volumes_in_its_own_process(trained):
    spec = PredictSpec(project=trained.folder, pair=trained.pairs_folder / "first")
    job = finished(LocalExecutor().submit(spec))
    names = [record.name for record in trained.volumes()]
    assert job.result()["predicted"] == names
    assert job.snapshot().steps == len(names)
    assert {record["volume"] for record in job.progress()} == set(names)
    told = [name for record in job.progress() for name in record.get("done", ())]
    assert told == names  # each once, for the window to load
    for name in names:
        prediction = trained.prediction(name)
        assert prediction.shape == trained.geometry(name).shape
        assert prediction.pair_name == "first"
        figures = read_figures(trained, name)  # kept beside it as it is made, for the queue
        assert figures is not None and figures.agreement[0] is not None
        assert (figures.mean_dice is None) == (trained.volume(name).role == "unlabeled")
        truth = read_labels(trained.folder / "labels" / f"{name}.nii.gz").data
        overlap = 2 * np.sum((prediction.merged() == 1) & (truth == 1))
        assert overlap / (np.sum(prediction.merged() == 1) + truth.sum()) > 0.5


def test_second_run_passes_over_what_is_done(trained):
    assert here(trained, volumes=("v0", "v4")).result()["predicted"] == ["v0", "v4"]
    second = here(trained)
    assert second.result()["already_predicted"] == ["v0", "v4"]
    assert second.result()["predicted"] == ["v1", "v2", "v3", "v5"]
    again = here(trained, volumes=("v0",), force=True)
    assert again.result()["predicted"] == ["v0"]
    assert again.snapshot().message.startswith("Predicted 1 volume with pair")
    (trained.prediction_folder("v1") / "prediction.json").write_text("{")
    assert here(trained).result()["predicted"] == ["v1"]


def test_unreadable_volume_does_not_hold_up_the_others(trained):
    (trained.folder / "images" / "v1.nii.gz").write_bytes(b"no volume")
    job = here(trained, volumes=("v0", "v1", "v2"))
    assert job.status is JobStatus.FAILED
    assert "1 of 3 volumes could not be predicted" in job.snapshot().error
    assert job.result()["predicted"] == ["v0", "v2"]
    assert list(job.result()["problems"]) == ["v1"]


def test_a_label_that_does_not_fit_spoils_no_prediction(trained):
    geometry = Geometry.from_spacing((1.0, 1.0, 1.0), (15, 16, 16))
    write_labels(trained.labels_path("v0"), np.zeros((15, 16, 16), np.uint8), geometry)
    assert here(trained, volumes=("v0", "v1")).result()["predicted"] == ["v0", "v1"]
    assert trained.prediction("v0") is not None
    assert not (trained.prediction_folder("v0") / "figures.json").exists()
    assert read_figures(trained, "v1") is not None


def test_stop_keeps_what_is_predicted(trained, monkeypatch):
    from napari_metassl.jobs import predict

    stop_after_first = predict.PredictionPair.save

    def save(self, folder):
        stop_after_first(self, folder)
        next(iter(trained.jobs_folder.glob("*predict"))).joinpath("stop_request").touch()

    monkeypatch.setattr(predict.PredictionPair, "save", save)
    job = here(trained)
    assert job.status is JobStatus.STOPPED
    assert "1 of 6 volumes are predicted" in job.snapshot().message
    assert trained.prediction("v0") is not None
    assert trained.prediction("v1") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"volumes": ("v9",)}, "v9"),
        ({"device": "cuda:77"}, "cannot be used here"),
    ],
)
def test_impossible_wishes_are_one_sentence(trained, changes, words):
    job = here(trained, **changes)
    assert job.status is JobStatus.FAILED
    assert words in job.snapshot().error
    assert "\n" not in job.snapshot().error


def test_broken_project_fails_with_the_sentence(trained):
    spec = PredictSpec(project=trained.folder, pair=trained.pairs_folder / "first")
    (trained.folder / "project.json").write_text("{ broken")
    job = LocalExecutor().submit(spec)
    snapshot = job.wait(60)
    assert snapshot.status is JobStatus.FAILED
    assert "cannot be read as JSON" in snapshot.error
    assert "Traceback" not in snapshot.error
    assert "Traceback" in job.log_end(60)


def test_missing_project_folder_starts_nothing(tmp_path):
    with pytest.raises(JobProblem, match="no project folder"):
        LocalExecutor().submit(PredictSpec(project=tmp_path / "none", pair=tmp_path))


def keep_pair(project, strategy) -> ModelPair:
    """An untrained pair of one network with dropout, kept as 'first'."""
    network = NetworkConfig(
        architecture="UNet", classes=2, options={"channels": [4, 8], "dropout": 0.3}
    )
    card = ModelCard(
        name="first",
        class_names=("background", "ball"),
        supervised=network,
        reference=network,
        strategy=strategy,
        patch_size=(16, 16, 16),
    )
    folder = project.pairs_folder / "first"
    save_pair(new_pair(card), folder)
    return load_pair(folder)


@pytest.mark.parametrize("strategy", ["r_drop", "fixmatch"])
def test_project_predictions_show_the_strategys_own_two(project, strategy):
    pair = keep_pair(project, strategy)
    assert here(project, volumes=("v2",)).result()["predicted"] == ["v2"]
    kept = project.prediction("v2")
    assert kept.discrepant().mean() > 0.001
    assert not predict_volume(pair, project.load_image("v2"), device="cpu").discrepant().any()
    here(project, volumes=("v2",), force=True)
    np.testing.assert_array_equal(project.prediction("v2").codes, kept.codes)


@pytest.mark.parametrize("strategy", ["r_drop", "fixmatch"])
def test_figures_of_a_pair_come_from_the_plain_answer(project, strategy):
    pair = keep_pair(project, strategy)
    plain = predict_volume(pair, project.load_image("v2"), device="cpu").merged()
    here(project, volumes=("v2",))
    assert (project.prediction("v2").merged() != plain).any()
    truth = project.load_labels("v2").data
    dice = 2 * np.sum((plain == 1) & (truth == 1)) / (np.sum(plain == 1) + truth.sum())
    assert score_volumes(pair, project, ["v2"], device="cpu")[0].mean() == pytest.approx(dice)
    folders = (project.folder / name for name in ("pairs/first", "images", "labels"))
    cases = {case.name: case for case in evaluate_folder(*folders, device="cpu").cases}
    assert cases["v2"].mean() == pytest.approx(dice)


def test_figures_use_the_kept_prediction_where_review_is_plain(project, monkeypatch):
    pair = keep_pair(project, "mean_teacher")
    here(project, volumes=("v2",))
    monkeypatch.setattr("napari_metassl.jobs.compare.predict_volume", None)
    assert score_volumes(pair, project, ["v2"], device="cpu")[0].name == "v2"


@pytest.mark.parametrize(("change", "times"), [(0.0, 1), (1.0, 2)])
def test_equal_networks_are_asked_once_plainly_and_different_ones_each(project, change, times):
    pair = keep_pair(project, "r_drop")
    next(pair.reference.parameters()).data += change
    asked = []
    for network in pair.networks:
        network.register_forward_hook(lambda *_: asked.append(True))
    predict_volume(pair, project.load_image("v2"), device="cpu")
    assert len(asked) == times
