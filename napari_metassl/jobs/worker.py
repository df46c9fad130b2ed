"""The process of a job: ``python -m napari_metassl.jobs.worker FOLDER [--background]``."""

import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from napari_metassl.errors import Cancelled, MetaSSLError
from napari_metassl.jobs.job import HEARTBEAT_SECONDS, Job, JobStatus, now
from napari_metassl.jobs.job_run import JobRun
from napari_metassl.jobs.process_mark import ProcessMark

BACKGROUND_NICENESS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job of a folder to its end; 0 when it succeeded or was stopped, else 1."""
    parser = argparse.ArgumentParser(description="Run one job from its folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--background", action="store_true", help="leave the machine to others")
    options = parser.parse_args(arguments)
    if options.background:
        _step_back()
    job = Job(options.folder)
    signal.signal(signal.SIGTERM, lambda *_: job.request_stop())
    signal.signal(signal.SIGINT, lambda *_: job.request_stop())
    _log_to_stderr()
    return 0 if run_job(job) is not JobStatus.FAILED else 1


def run_job(job: Job) -> JobStatus:
    """Do what the spec of `job` asks for in this process and write how it ended."""
    job.write_process(ProcessMark.of_this_process())
    begun = now()
    _write_state(job, JobStatus.RUNNING, started=begun, message="Starting.")
    over = threading.Event()
    threading.Thread(target=_beat, args=(job, over), daemon=True).start()
    try:
        status, message, error = _outcome(job)
    finally:
        over.set()
    _write_state(job, status, started=begun, finished=now(), message=message, error=error)
    return status


def _outcome(job: Job) -> tuple[JobStatus, str, str]:
    """Run the work; (how it ended, what was done, what went wrong)."""
    try:
        JobRun(job).stop_here("Stopped before it began.")
        return JobStatus.SUCCEEDED, _work(job), ""
    except Cancelled as stopped:
        return JobStatus.STOPPED, str(stopped) or "Stopped.", ""
    except MetaSSLError as error:
        traceback.print_exc()
        return JobStatus.FAILED, "", str(error)
    except MemoryError:
        traceback.print_exc()
        return JobStatus.FAILED, "", _MEMORY
    except Exception as error:
        traceback.print_exc()
        return JobStatus.FAILED, "", _unexpected(error)


def _work(job: Job) -> str:
    """Hand the spec to the code for its kind, which says what it did; it imports torch."""
    from napari_metassl.jobs.specs import PredictSpec, parse_spec

    spec = parse_spec(job.spec())
    if isinstance(spec, PredictSpec):
        from napari_metassl.jobs.predict import run_predict

        return run_predict(spec, JobRun(job))
    from napari_metassl.jobs.fine_tune import run_fine_tune

    return run_fine_tune(spec, JobRun(job))


_MEMORY = (
    "The memory ran out; take smaller patches or a smaller batch, or close other programs, "
    "and start the job again."
)


def _unexpected(error: Exception) -> str:
    if type(error).__name__ == "OutOfMemoryError":  # torch's, on a GPU
        return _MEMORY
    if isinstance(error, OSError) and error.strerror:
        place = f" at '{error.filename}'" if error.filename else ""
        return f"The system refused{place}: {error.strerror}; mend that and start the job again."
    return (
        f"{type(error).__name__}: {error}. This is unexpected; the job's log.txt has the details."
    )


def _write_state(job: Job, status: JobStatus, **changes: datetime | str) -> None:
    job.write_state(job.stored_state().model_copy(update={"status": status, **changes}))


def _beat(job: Job, over: threading.Event) -> None:
    """Touch process.json now and then, for those who watch from another machine."""
    while not over.wait(HEARTBEAT_SECONDS):
        with contextlib.suppress(OSError):  # away for a moment; the work tells if it matters
            os.utime(job.folder.process)


def _step_back() -> None:
    """Give way to every other process of the person."""
    if hasattr(os, "nice"):
        os.nice(BACKGROUND_NICENESS)


def _log_to_stderr() -> None:
    """Everything libraries say goes where stderr goes, the log of the job, with the time."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s: %(message)s"
    )
    logging.captureWarnings(True)


if __name__ == "__main__":
    sys.exit(main())
