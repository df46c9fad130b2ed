"""A job's folder, as one process writes it and another reads it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_metassl.errors import JobProblem
from napari_metassl.jobs.job import SILENCE_SECONDS, Job, JobStatus, list_jobs
from napari_metassl.jobs.json_file import append_line, read_lines, to_json, write_json
from napari_metassl.jobs.process_mark import ProcessMark


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job.create(tmp_path / "jobs", {"kind": "predict"}, kind="predict")


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def running(job: Job, mark: ProcessMark) -> None:
    job.write_process(mark)
    job.write_state(job.stored_state().model_copy(update={"status": JobStatus.RUNNING}))


def test_new_job_is_pending_and_found_again(job: Job, tmp_path: Path):
    assert job.status is JobStatus.PENDING
    assert job.snapshot().fraction == 0
    assert job.result() is None
    again = Job.create(tmp_path / "jobs", {"kind": "predict"}, kind="predict")
    assert again.id != job.id
    assert [found.id for found in list_jobs(tmp_path / "jobs")] == sorted([job.id, again.id])
    assert list_jobs(tmp_path / "nothing") == []


def test_living_process_is_running_and_killed_one_failed_with_its_last_words(job: Job, sleeper):
    running(job, ProcessMark.of(sleeper.pid))
    assert job.status is JobStatus.RUNNING
    job.folder.log.write_text("\n".join(f"line {n}" for n in range(100)) + "\n")
    sleeper.kill()
    sleeper.wait()
    snapshot = job.snapshot()
    assert snapshot.status is JobStatus.FAILED
    assert "start the job again" in snapshot.error
    assert snapshot.error.endswith("line 99")
    assert "line 50\n" not in snapshot.error


def test_zombie_counts_as_dead(job: Job, sleeper):
    running(job, ProcessMark.of(sleeper.pid))
    sleeper.kill()  # not waited for: it stays in the process table
    time.sleep(0.3)
    assert job.status is JobStatus.FAILED


def test_reused_pid_does_not_pass_for_the_job(job: Job):
    mark = ProcessMark.of_this_process()
    running(job, mark.model_copy(update={"started": "before"}))
    assert job.status is JobStatus.FAILED
    running(job, mark)
    assert job.status is JobStatus.RUNNING


def test_job_of_another_machine_is_believed_until_it_falls_silent(job: Job):
    running(job, ProcessMark(host="elsewhere", pid=1, started="then"))
    assert job.status is JobStatus.RUNNING
    long_ago = time.time() - SILENCE_SECONDS - 60
    os.utime(job.folder.process, (long_ago, long_ago))
    assert job.status is JobStatus.FAILED
    assert "elsewhere" in job.snapshot().error


def test_killed_after_a_stop_request_is_stopped(job: Job, sleeper):
    running(job, ProcessMark.of(sleeper.pid))
    job.request_stop()
    assert job.status is JobStatus.RUNNING
    sleeper.kill()
    sleeper.wait()
    assert job.status is JobStatus.STOPPED


def test_stop_before_any_process_is_stopped_at_once(job: Job):
    job.request_stop()
    assert job.status is JobStatus.STOPPED
    job.request_stop()  # over is over
    assert job.status is JobStatus.STOPPED


def test_progress_is_read_as_it_grows_and_a_torn_line_is_ignored(job: Job):
    job.append_progress({"step": 1, "steps": 4, "fraction": 0.25, "message": "a"})
    assert [r["step"] for r in job.progress()] == [1]
    with job.folder.progress.open("ab") as file:
        file.write(b'{"step": 2, "ste')
    assert [r["step"] for r in job.progress()] == [1]
    assert Job(job.folder.path).snapshot().step == 1
    job.append_progress({"step": 3, "steps": 4, "fraction": 0.75, "message": "b"})
    assert [r["step"] for r in job.progress(since=1)] == [3]
    assert [r["step"] for r in Job(job.folder.path).progress()] == [1, 3]
    assert job.snapshot().fraction == 0.75


def test_line_still_being_written_is_read_once_it_is_whole(tmp_path: Path):
    path = tmp_path / "lines"
    path.write_bytes(b'{"a": 1}\n{"a"')
    records, offset = read_lines(path)
    with path.open("ab") as file:
        file.write(b": 2}\n")
    more, _ = read_lines(path, offset)
    assert (records, more) == ([{"a": 1}], [{"a": 2}])


def test_files_are_replaced_whole_and_nothing_is_left_aside(tmp_path: Path):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="cannot be written"):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["file.json"]


def test_undefined_figures_become_null(tmp_path: Path):
    import numpy as np

    figures = {"hd95": float("nan"), "dice": np.float32(0.5), "box": np.arange(2), "p": Path("a")}
    assert json.loads(to_json(figures)) == {"hd95": None, "dice": 0.5, "box": [0, 1], "p": "a"}
    append_line(tmp_path / "lines", figures)
    assert read_lines(tmp_path / "lines")[0][0]["hd95"] is None


def test_damaged_state_is_a_failed_job_not_a_crash(job: Job):
    job.folder.state.write_text("{")
    assert job.status is JobStatus.FAILED
    assert "no readable job" in job.snapshot().error


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(JobProblem, match="writable"):
        Job.create(tmp_path / "jobs", {}, kind="predict")


def test_jobs_folder_that_is_a_file_is_one_sentence(tmp_path: Path):
    (tmp_path / "jobs").write_text("")
    with pytest.raises(JobProblem, match="No job can be started"):
        Job.create(tmp_path / "jobs", {}, kind="predict")
