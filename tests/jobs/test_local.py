import os
import subprocess
import sys

import psutil
import pytest
from conftest import train_spec, training

from napari_metassl.errors import JobProblem
from napari_metassl.jobs.job import Job, JobStatus
from napari_metassl.jobs.local import LocalExecutor, follow, kill, usable_cores

STARTER = """
import sys
from napari_metassl.jobs.local import LocalExecutor
from napari_metassl.jobs.specs import parse_spec
from napari_metassl.jobs.json_file import read_json
from pathlib import Path
job = LocalExecutor().submit(parse_spec(read_json(Path(sys.argv[1]))))
print(job.folder.path)
assert "torch" not in sys.modules
"""


def started(job: Job) -> psutil.Process:
    return psutil.Process(job.process_mark().pid)


def test_job_steps_back_and_leaves_the_session_of_its_starter(project):
    job = LocalExecutor().submit(train_spec(project, training=training(steps=10_000)))
    try:
        while not job.snapshot().step:
            assert not job.status.is_over, job.snapshot().error
        process = started(job)
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
        assert process.nice() == psutil.Process().nice() + 10
        assert process.environ()["OMP_NUM_THREADS"] == os.environ["OMP_NUM_THREADS"]
        with pytest.raises(JobProblem, match="cannot be started again"):
            LocalExecutor().start(job)
    finally:
        kill(job)
    assert job.status is JobStatus.STOPPED


def test_threads_leave_a_core_to_the_window_and_a_failed_start_is_a_failed_job(
    project, monkeypatch
):
    from napari_metassl.jobs import local

    seen = {}

    def popen(command, env, **rest):
        seen.update(env=env, command=command)
        raise OSError("no more processes")

    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(local.subprocess, "Popen", popen)
    with pytest.raises(JobProblem, match="no more processes"):
        LocalExecutor().submit(train_spec(project))
    (folder,) = project.jobs_folder.iterdir()
    assert Job(folder).status is JobStatus.FAILED
    assert seen["env"]["OMP_NUM_THREADS"] == str(max(1, usable_cores() - 1))
    assert "--background" in seen["command"]
    with pytest.raises(JobProblem):
        LocalExecutor(background=False).submit(train_spec(project))
    assert seen["env"]["OMP_NUM_THREADS"] == str(usable_cores())
    assert "--background" not in seen["command"]


def test_job_outlives_the_process_that_started_it(project, tmp_path):
    spec = tmp_path / "spec.json"
    spec.write_text(train_spec(project, judge=False).model_dump_json())
    answer = subprocess.run(
        [sys.executable, "-c", STARTER, spec], capture_output=True, text=True, check=True
    )
    job = Job(answer.stdout.strip())
    seen = []
    end = follow(job, seen.append, poll=0.05)
    assert end.status is JobStatus.SUCCEEDED, end.error
    assert seen[-1] == end
    assert (project.pairs_folder / "first" / "card.json").is_file()
