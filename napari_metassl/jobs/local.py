"""Jobs as processes of this machine that outlive the one that started them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import TYPE_CHECKING

from napari_metassl.errors import JobProblem
from napari_metassl.jobs.job import Job, JobSnapshot, JobStatus, now
from napari_metassl.jobs.process_mark import ProcessMark
from napari_metassl.jobs.specs import PredictSpec, Spec

if TYPE_CHECKING:
    from napari_metassl.data.project import Project


class LocalExecutor:
    """Starts each job in a session of its own, so that closing the window does not end it.

    Parameters
    ----------
    background : bool
        True: low priority, and one core left to the window. False: all cores, for the command
        line, where nothing else is waited for.
    """

    def __init__(self, *, background: bool = True):
        self.background = background

    def submit(self, spec: Spec) -> Job:
        """Make the folder of a new job in the project's ``jobs`` folder and start it.

        Raises
        ------
        JobProblem
            When the folder or the process cannot be made.
        """
        if not spec.project.is_dir():
            raise JobProblem(
                f"There is no project folder '{spec.project}'; open or create the project first."
            )
        job = Job.create(spec.project / "jobs", spec.model_dump(mode="json"), kind=spec.kind)
        self.start(job)
        return job

    def start(self, job: Job) -> None:
        """Start the process of a job that is new, failed or stopped; it goes on where it was."""
        state = job.state()
        if state.status in {JobStatus.RUNNING, JobStatus.SUCCEEDED}:
            raise JobProblem(f"Job {job.id} is {state.status} and cannot be started again.")
        job.folder.stop_request.unlink(missing_ok=True)
        job.folder.process.unlink(missing_ok=True)  # the dead one must not speak for the new
        job.write_state(
            state.model_copy(update={"status": JobStatus.PENDING, "error": "", "finished": None})
        )
        process = self._launch(job)
        mark = ProcessMark.of(process.pid)
        if mark is not None:
            job.write_process(mark)
        threading.Thread(target=_note_death, args=(job, process), daemon=True).start()

    def _launch(self, job: Job) -> "subprocess.Popen[bytes]":
        # -P: a folder named like a library where the person stands must not be imported
        command = [sys.executable, "-P", "-m", "napari_metassl.jobs.worker", str(job.folder.path)]
        try:
            with job.folder.log.open("ab") as log:
                return subprocess.Popen(
                    command + (["--background"] if self.background else []),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(usable_cores() - (1 if self.background else 0)),
                    start_new_session=True,
                )
        except OSError as error:
            sentence = f"The process of job {job.id} cannot be started ({error})."
            failed = {"status": JobStatus.FAILED, "error": sentence, "finished": now()}
            job.write_state(job.stored_state().model_copy(update=failed))
            raise JobProblem(sentence) from error


def follow(
    job: Job,
    look: Callable[[JobSnapshot], None],
    *,
    poll: float = 0.2,
) -> JobSnapshot:
    """Watch a job to its end.

    Ctrl-C asks it to stop at its next step and waits for that; a second Ctrl-C ends it at once.

    Parameters
    ----------
    look : callable
        Called with a snapshot every `poll` seconds, and with the last one.
    """
    try:
        return _watch(job, look, poll)
    except KeyboardInterrupt:
        job.request_stop()
    try:
        return _watch(job, look, poll)
    except KeyboardInterrupt:
        kill(job)
        raise


def predict_and_wait(
    project: "Project",
    volumes: tuple[str, ...],
    look: Callable[[Job, JobSnapshot], None] = lambda job, seen: None,
) -> None:
    """Let the project's pair predict volumes in the background, and wait until it has.

    Parameters
    ----------
    look : callable
        Called with the job and a snapshot while it runs, and with the last one.

    Raises
    ------
    JobProblem
        When the project has no pair, or the job did not succeed.
    """
    job = LocalExecutor().submit(PredictSpec.with_current_pair(project, volumes))
    end = follow(job, lambda seen: look(job, seen), poll=0.1)
    if end.status is not JobStatus.SUCCEEDED:
        raise JobProblem(
            f"The prediction {end.status.lower()}: {end.error or end.message} ({job.folder.log})"
        )


def _watch(job: Job, look: Callable[[JobSnapshot], None], poll: float) -> JobSnapshot:
    while True:
        snapshot = job.snapshot()
        look(snapshot)
        if snapshot.status.is_over:
            return snapshot
        sleep(poll)


def kill(job: Job, patience: float = 5.0) -> None:
    """End the process of a job at once; what it had put on disk stays."""
    mark = job.process_mark()
    if mark is None or not mark.is_alive():
        return
    job.folder.stop_request.touch()  # so that its end is read as wanted
    os.kill(mark.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    end = monotonic() + patience
    while mark.is_alive() and monotonic() < end:
        sleep(0.05)


def usable_cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment(threads: int) -> dict[str, str]:
    """Environment of the worker; a number of threads that the person set themselves stays.

    Threads wait for each other asleep: when they share the cores with anything else (the window,
    another job), waiting awake made a training step seven times slower.
    """
    count = str(max(1, threads))
    defaults = {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
    }
    return defaults | dict(os.environ)


def _note_death(job: Job, process: "subprocess.Popen[bytes]") -> None:
    """Wait for the process; if it went without a word, write down what only its parent knows."""
    code = process.wait()
    try:
        state = job.stored_state()
        if state.status.is_over:
            return
        ended = job.state_after_death(state, _cause(code))
        job.write_state(ended.model_copy(update={"finished": now()}))
    except OSError:
        return  # the folder is gone; there is nobody to tell


def _cause(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = ", often the system's answer to too little memory" if name == "SIGKILL" else ""
    return f"by {name}{hint}"
