"""A job as its folder tells it: what was asked, how far it is, how it ended. No torch here."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_metassl.errors import JobProblem
from napari_metassl.jobs.json_file import append_line, read_json, read_lines, write_json
from napari_metassl.jobs.process_mark import ProcessMark

HEARTBEAT_SECONDS = 20.0
SILENCE_SECONDS = 600.0
"""A job of another machine that gave no sign of life for so long is taken for dead."""


class JobStatus(StrEnum):
    """Where a job stands.

    ::

        PENDING ──> RUNNING ──> SUCCEEDED
           │           ├──────> FAILED     an error, or the process died
           │           └──────> STOPPED    a person asked for it; what was done is kept
           ├──────────────────> FAILED     the process died before it began
           └──────────────────> STOPPED

        FAILED, STOPPED ──> RUNNING        started again in the same folder: goes on
    """

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self not in {JobStatus.PENDING, JobStatus.RUNNING}


class JobState(BaseModel):
    """What state.json holds; only the worker writes it once the job is started."""

    model_config = ConfigDict(frozen=True)

    status: JobStatus = JobStatus.PENDING
    message: str = ""
    error: str = ""
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None


@dataclass(frozen=True)
class JobFolder:
    """The files of a job, by name.

    Everything is written aside and renamed, except `progress` (one line appended per report; a
    torn last line is ignored) and `log` (whatever the process prints).
    """

    path: Path

    @property
    def spec(self) -> Path:
        """What was asked for."""
        return self.path / "spec.json"

    @property
    def state(self) -> Path:
        """Where the job stands: `JobState`."""
        return self.path / "state.json"

    @property
    def process(self) -> Path:
        """Which process works on it: `ProcessMark`. Touched while the process lives."""
        return self.path / "process.json"

    @property
    def progress(self) -> Path:
        """One JSON object a line."""
        return self.path / "progress.jsonl"

    @property
    def log(self) -> Path:
        """What the process and its libraries printed."""
        return self.path / "log.txt"

    @property
    def result(self) -> Path:
        """What came out, in figures and names."""
        return self.path / "result.json"

    @property
    def stop_request(self) -> Path:
        """Exists when a person wants the job to stop."""
        return self.path / "stop_request"

    @property
    def checkpoints(self) -> Path:
        """Folder of what is kept to go on from."""
        return self.path / "checkpoints"


@dataclass(frozen=True)
class JobSnapshot:
    """A job at one moment, for those who look on.

    Attributes
    ----------
    step, steps : int
        Done and planned: training steps, or volumes to predict. `steps` is 0 while unknown.
    fraction : float
        Share of the whole job that is done, 0 to 1.
    seconds_left : float or None
        Estimate; None while unknown and once the job is over.
    message : str
        What is going on, for a person.
    error : str
        One sentence saying why it failed; empty otherwise.
    latest : dict
        The last progress record.
    """

    id: str
    kind: str
    status: JobStatus
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    error: str = ""
    created: datetime | None = None
    finished: datetime | None = None
    latest: dict[str, Any] = field(default_factory=dict)


class Job:
    """One job, read from its folder; any number of processes may look at the same one."""

    def __init__(self, folder: Path | str):
        self.folder = JobFolder(Path(folder))
        self._records: list[dict[str, Any]] = []
        self._offset = 0

    @classmethod
    def create(cls, jobs_folder: Path, spec: Mapping[str, Any], *, kind: str) -> "Job":
        """Make the folder of a new job with its spec, PENDING, not started.

        Raises
        ------
        JobProblem
            When the folder cannot be written.
        """
        try:
            folder = JobFolder(_new_folder(jobs_folder, kind))
            folder.checkpoints.mkdir()
            write_json(folder.spec, spec)
            write_json(folder.state, JobState(created=now()).model_dump(mode="json"))
        except OSError as error:
            raise JobProblem(
                f"No job can be started in '{jobs_folder}' ({error.strerror or error}); "
                "make the project folder writable and see that the disk has room."
            ) from error
        return cls(folder.path)

    @property
    def id(self) -> str:
        """Name of the job: the name of its folder; sorts by time."""
        return self.folder.path.name

    @property
    def kind(self) -> str:
        """What sort of work: "predict" or "fine-tune"."""
        return str(self.spec().get("kind", ""))

    def spec(self) -> dict[str, Any]:
        """Read what was asked for, as plain JSON."""
        return read_json(self.folder.spec) or {}

    def result(self) -> dict[str, Any] | None:
        """Read what came out; None before it is there."""
        return read_json(self.folder.result)

    def progress(self, since: int = 0) -> list[dict[str, Any]]:
        """Progress records from number `since` on; only what was appended is read from disk."""
        records, self._offset = read_lines(self.folder.progress, self._offset)
        self._records += records
        return self._records[since:]

    @property
    def status(self) -> JobStatus:
        """Where the job stands now; a dead process is FAILED whatever its state file says."""
        return self.state().status

    def state(self) -> JobState:
        """Read the state as it is, with a process that died without a word taken into account."""
        state = self.stored_state()
        if state.status.is_over or not self._has_died():
            return state
        state = self.stored_state()  # it may have finished between the two looks
        return state if state.status.is_over else self.state_after_death(state)

    def state_after_death(self, state: JobState, cause: str = "") -> JobState:
        """State of a job whose process died in `state`.

        Parameters
        ----------
        cause : str
            How it died, where its parent knows ("by SIGKILL").
        """
        if self.stop_requested():
            ended = {"status": JobStatus.STOPPED, "message": "Ended at once; its checkpoint stays."}
        else:
            ended = {"status": JobStatus.FAILED, "error": self._death_sentence(state, cause)}
        return state.model_copy(update=ended)

    def snapshot(self) -> JobSnapshot:
        """Everything a table of jobs shows, at this moment."""
        state, records = self.state(), self.progress()
        latest = records[-1] if records else {}
        step = next((record for record in reversed(records) if "step" in record), latest)
        done = state.status is JobStatus.SUCCEEDED
        return JobSnapshot(
            id=self.id,
            kind=self.kind,
            status=state.status,
            step=int(step.get("step", 0)),
            steps=int(step.get("steps", 0)),
            fraction=1.0 if done else float(latest.get("fraction", 0.0)),
            seconds_left=None if state.status.is_over else latest.get("seconds_left"),
            message=(state.status.is_over and state.message) or str(latest.get("message", "")),
            error=state.error,
            created=state.created,
            finished=state.finished,
            latest=latest,
        )

    def request_stop(self) -> None:
        """Ask the worker to stop at its next step; what is done is kept. Returns at once.

        A job whose process was never started is STOPPED there and then.
        """
        state = self.stored_state()
        if state.status.is_over:
            return
        self.folder.stop_request.touch()
        if state.status is JobStatus.PENDING and not self.folder.process.exists():
            stopped = {"status": JobStatus.STOPPED, "finished": now(), "message": "Not started."}
            self.write_state(state.model_copy(update=stopped))

    def stop_requested(self) -> bool:
        """Whether somebody asked the job to stop."""
        return self.folder.stop_request.exists()

    def log_end(self, lines: int = 12) -> str:
        """Last lines of the log."""
        try:
            with self.folder.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
                text = log.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def process_mark(self) -> ProcessMark | None:
        """Which process works on the job, or did last; None before the first."""
        stored = read_json(self.folder.process)
        try:
            return None if stored is None else ProcessMark.model_validate(stored)
        except ValidationError:
            return None

    def wait(self, timeout: float | None = None, *, poll: float = 0.1) -> JobSnapshot:
        """Block until the job is over, at most `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self.status.is_over and (end is None or time.monotonic() < end):
            time.sleep(poll)
        return self.snapshot()

    # What the worker writes ---------------------------------------------------------------

    def write_state(self, state: JobState) -> None:
        """Replace state.json."""
        write_json(self.folder.state, state.model_dump(mode="json"))

    def write_process(self, mark: ProcessMark) -> None:
        """Say which process works on the job."""
        write_json(self.folder.process, mark.model_dump())

    def append_progress(self, record: Mapping[str, Any]) -> None:
        """Append one progress record as a line."""
        append_line(self.folder.progress, record)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Replace result.json."""
        write_json(self.folder.result, result)

    def stored_state(self) -> JobState:
        """Read state.json alone, without a look at the process."""
        try:
            return JobState.model_validate(read_json(self.folder.state) or {})
        except ValidationError:
            error = f"'{self.folder.path}' holds no readable job; delete the folder."
            created = datetime.fromtimestamp(_modified(self.folder.path), UTC)
            return JobState(status=JobStatus.FAILED, error=error, created=created)

    def _has_died(self) -> bool:
        mark = self.process_mark()
        if mark is None:
            return False
        if mark.on_this_host():
            return not mark.is_alive()
        return time.time() - _modified(self.folder.process) > SILENCE_SECONDS

    def _death_sentence(self, state: JobState, cause: str) -> str:
        mark = self.process_mark()
        where = f" on '{mark.host}'" if mark and not mark.on_this_host() else ""
        when = "before it began" if state.status is JobStatus.PENDING else "without a word"
        why = cause or "it was killed, the memory ran out or the computer was restarted"
        sentence = f"The process of the job{where} ended {when} ({why}); start the job again."
        tail = self.log_end()
        return f"{sentence}\nEnd of its log:\n{tail}" if tail else sentence


def list_jobs(jobs_folder: Path) -> list[Job]:
    """List all jobs of a project, oldest first."""
    if not jobs_folder.is_dir():
        return []
    return [Job(path) for path in sorted(jobs_folder.iterdir()) if (path / "spec.json").is_file()]


def now() -> datetime:
    """Read the clock, with the time zone, as it is stored."""
    return datetime.now(UTC).replace(microsecond=0)


def _new_folder(jobs_folder: Path, kind: str) -> Path:
    """Make `<time>-<kind>`, with a number when two jobs are started in one second."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{kind}"
    jobs_folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = jobs_folder / (stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise JobProblem(f"'{jobs_folder}' already holds 999 jobs of this second; wait a moment.")


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
