import json
import os
import signal
import time

import numpy as np
import pytest
from conftest import finished, train_spec, training
from safetensors.numpy import load_file

from napari_metassl.data.model_card import read_card
from napari_metassl.data.project import Project
from napari_metassl.jobs.job import Job, JobStatus
from napari_metassl.jobs.local import LocalExecutor
from napari_metassl.jobs.specs import FineTuneSpec
from napari_metassl.jobs.worker import run_job


def here(project: Project, spec: FineTuneSpec) -> Job:
    """Do a training job in this process."""
    job = Job.create(project.jobs_folder, spec.model_dump(mode="json"), kind=spec.kind)
    run_job(job)
    return job


def fine_tune_spec(project: Project, **changes) -> FineTuneSpec:
    spec = {
        "project": project.folder,
        "parent": project.pairs_folder / "first",
        "training": training(steps=4),
        "name": "second",
    }
    return FineTuneSpec(**(spec | changes))


def until(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def trains(job: Job) -> bool:
    return any("losses" in record for record in job.progress())


def weights(project: Project, pair: str) -> dict[str, np.ndarray]:
    return load_file(project.pairs_folder / pair / "supervised.safetensors")


def test_training_makes_a_pair_and_only_offers_it(trained):
    card = read_card(trained.pairs_folder / "first")
    assert card.parent is None
    assert card.class_names == ("background", "ball")
    assert card.spacing == (1.0, 1.0, 1.0)
    data = card.metrics["training"]["data"]
    assert data["labeled"] == ["v0", "v1"]
    assert data["unlabeled"] == 2
    assert data["validation"] == ["v2", "v3"]
    assert trained.file.current_pair is None
    job = Job(trained.jobs_folder / card.job_id)
    assert job.status is JobStatus.SUCCEEDED
    assert job.result()["comparison"] is None
    assert 0 < job.result()["scores"]["overall"]["dice"]["mean"] <= 1
    steps = [record for record in job.progress() if "losses" in record]
    assert steps[-1]["step"] == steps[-1]["steps"] == 4
    assert set(steps[-1]["shares"]) == {"UC", "US", "DC", "DS"}
    assert np.shape(steps[-1]["thresholds"]) == (2, 2)
    assert 0 <= steps[-1]["validation"]["mean"] <= 1
    assert steps[-1]["seconds_left"] == 0


def test_fine_tuning_uses_corrections_and_compares_with_the_parent(trained):
    corrections = trained.corrections("v4")
    corrections.labels[6:9, 6:9, 6:9] = 1
    corrections.record("paint")
    journal = trained.corrections_folder / "v4.jsonl"
    before = journal.read_bytes()
    trained.set_current_pair("first")
    # the journal stays open here, as it does in a window, while the job reads it
    job = finished(LocalExecutor().submit(fine_tune_spec(trained)))

    assert journal.read_bytes() == before
    again = Project.open(trained.folder)
    assert again.file.current_pair == "first"
    card = read_card(again.pairs_folder / "second")
    assert (card.parent, card.job_id) == ("first", job.id)
    assert card.metrics["training"]["data"]["corrected"] == ["v4"]
    assert card.metrics["training"]["data"]["corrected_voxels"] == 27
    comparison = job.result()["comparison"]
    assert [case["name"] for case in comparison["cases"]] == ["v2", "v3"]
    assert comparison["overall"]["cases"] == 2
    assert comparison["overall"]["difference"] == pytest.approx(
        comparison["overall"]["new"] - comparison["overall"]["old"]
    )
    old = job.result()["comparison"]["cases"][0]["old"]["classes"]["ball"]
    first = read_card(again.pairs_folder / "first").metrics["cases"][0]["classes"]["ball"]
    assert old == first
    assert comparison["sentence"] in job.snapshot().message


def test_stopped_and_resumed_gives_the_weights_of_an_undisturbed_run(trained):
    long = training(steps=2000, validate_every=0)
    job = LocalExecutor().submit(fine_tune_spec(trained, training=long))
    until(lambda: trains(job) or job.status.is_over)
    job.request_stop()
    snapshot = job.wait(30)
    assert snapshot.status is JobStatus.STOPPED, snapshot.error
    assert "Stopped after" in snapshot.message
    assert not (trained.pairs_folder / "second").exists()
    assert read_card(job.folder.checkpoints / "pair").parent == "first"
    done = snapshot.step
    assert 0 < done < 2000

    short = training(steps=6)
    undisturbed = here(trained, fine_tune_spec(trained, training=short, name="undisturbed"))
    assert undisturbed.status is JobStatus.SUCCEEDED
    interrupted = Job.create(
        trained.jobs_folder,
        fine_tune_spec(
            trained, training=short, name="interrupted", checkpoint_seconds=0
        ).model_dump(mode="json"),
        kind="fine-tune",
    )
    with pytest.MonkeyPatch.context() as patch:
        stop_at(3, interrupted, patch)
        assert run_job(interrupted) is JobStatus.STOPPED
    interrupted.folder.stop_request.unlink()
    assert run_job(interrupted) is JobStatus.SUCCEEDED
    assert interrupted.progress()[-1]["fraction"] > 0.9
    for name, value in weights(trained, "undisturbed").items():
        np.testing.assert_array_equal(weights(trained, "interrupted")[name], value, name)


def stop_at(step: int, job: Job, patch: pytest.MonkeyPatch) -> None:
    append = Job.append_progress

    def append_and_stop(self, record):
        append(self, record)
        if record.get("step") == step:
            job.request_stop()

    patch.setattr(Job, "append_progress", append_and_stop)
    patch.setattr("napari_metassl.jobs.job_run.REPORT_SECONDS", 0.0)


def test_killed_process_is_failed_with_its_log_and_goes_on_from_its_checkpoint(trained):
    spec = fine_tune_spec(
        trained, training=training(steps=80, validate_every=0), checkpoint_seconds=0
    )
    executor = LocalExecutor()
    job = executor.submit(spec)
    until(lambda: trains(job) or job.status.is_over)
    with job.folder.log.open("a") as log:
        log.write("last words\n")
    os.kill(job.process_mark().pid, signal.SIGKILL)
    snapshot = job.wait(10)
    assert snapshot.status is JobStatus.FAILED
    assert snapshot.error.endswith("last words")
    until(lambda: "SIGKILL" in Job(job.folder.path).snapshot().error)
    assert not [path for path in trained.pairs_folder.iterdir() if path.name != "first"]

    done = snapshot.step
    executor.start(job)
    finished(job)
    assert not (job.folder.checkpoints / "training.pt").exists()  # nothing left to go on with
    later = [record["step"] for record in job.progress() if "step" in record]
    assert later[-1] == 80
    assert not any(step < done for step in later[later.index(done) + 1 :])


def test_minutes_fix_a_number_of_steps_that_gives_the_same_pair_again(trained):
    timed = here(trained, fine_tune_spec(trained, minutes=0.02, name="timed"))
    assert timed.status is JobStatus.SUCCEEDED, timed.snapshot().error
    steps = timed.result()["training"]["steps"]
    assert timed.result()["training"]["seconds"] < 10
    again = fine_tune_spec(trained, training=training(steps=steps), name="again")
    assert here(trained, again).status is JobStatus.SUCCEEDED
    for name, value in weights(trained, "timed").items():
        np.testing.assert_array_equal(weights(trained, "again")[name], value, name)


def test_mean_teacher_from_scratch_on_its_own_spacing(project):
    spec = train_spec(
        project,
        training=training(steps=2, strategy="mean_teacher"),
        spacing=(2.0, 1.0, 1.0),
        name="teacher",
    )
    job = here(project, spec)
    assert job.status is JobStatus.SUCCEEDED, job.snapshot().error
    card = read_card(project.pairs_folder / "teacher")
    assert (card.strategy, card.spacing) == ("mean_teacher", (2.0, 1.0, 1.0))


def test_taken_name_gets_a_number_and_the_old_pair_stays(trained):
    before = weights(trained, "first")
    job = here(trained, fine_tune_spec(trained, name="first"))
    assert job.result()["pair"] == "first-2"
    for name, value in weights(trained, "first").items():
        np.testing.assert_array_equal(before[name], value)


def test_job_killed_after_it_saved_its_pair_saves_it_again_not_another(trained):
    job = here(trained, fine_tune_spec(trained))
    job.write_state(job.stored_state().model_copy(update={"status": JobStatus.FAILED}))
    assert run_job(job) is JobStatus.SUCCEEDED
    assert sorted(path.name for path in trained.pairs_folder.iterdir()) == ["first", "second"]


def test_images_beyond_the_memory_wait_on_disk_and_give_the_same_pair(trained, monkeypatch):
    in_memory = here(trained, fine_tune_spec(trained, name="in-memory"))
    monkeypatch.setattr("napari_metassl.jobs.training_set.MEMORY_SHARE", 0.0)
    on_disk = here(trained, fine_tune_spec(trained, name="on-disk"))
    assert {in_memory.status, on_disk.status} == {JobStatus.SUCCEEDED}
    assert not (on_disk.folder.path / "cache").exists()
    for name, value in weights(trained, "in-memory").items():
        np.testing.assert_array_equal(weights(trained, "on-disk")[name], value)


def test_without_validation_volumes_it_says_that_it_cannot_know(trained):
    content = json.loads((trained.folder / "project.json").read_text())
    for volume in content["volumes"]:
        if volume["role"] == "validation":
            volume |= {"role": "unlabeled", "labels": None}
    (trained.folder / "project.json").write_text(json.dumps(content))
    job = here(trained, fine_tune_spec(trained))
    assert job.status is JobStatus.SUCCEEDED
    assert "no validation volumes" in job.snapshot().message


def test_project_without_any_label_is_one_sentence(trained):
    content = json.loads((trained.folder / "project.json").read_text())
    for volume in content["volumes"]:
        volume |= {"role": "unlabeled", "labels": None}
    (trained.folder / "project.json").write_text(json.dumps(content))
    job = here(trained, fine_tune_spec(trained))
    assert job.status is JobStatus.FAILED
    assert "no labeled volume and no corrections" in job.snapshot().error


def test_pair_that_is_gone_is_one_sentence(trained):
    job = here(trained, fine_tune_spec(trained, parent=trained.pairs_folder / "gone"))
    assert job.status is JobStatus.FAILED
    assert "is not a model pair" in job.snapshot().error
