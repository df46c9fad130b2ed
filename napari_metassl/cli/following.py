"""A job in its own process, watched from the command line."""

from typing import TYPE_CHECKING, Any

import typer

from napari_metassl.cli.console import complain, progress_bar
from napari_metassl.errors import JobProblem

if TYPE_CHECKING:
    from napari_metassl.jobs.job import JobSnapshot
    from napari_metassl.jobs.specs import Spec


def run_to_its_end(spec: "Spec") -> dict[str, Any]:
    """Start a job on all cores, show its progress and return its result.

    Ctrl-C asks the job to stop at its next step and waits for that.

    Raises
    ------
    JobProblem
        When the job failed.
    typer.Exit
        With code 130 when it was stopped.
    """
    from napari_metassl.jobs.job import JobStatus
    from napari_metassl.jobs.local import LocalExecutor, follow

    job = LocalExecutor(background=False).submit(spec)
    with progress_bar() as bar:
        task = bar.add_task("Starting", total=1.0, note="")

        def look(now: "JobSnapshot") -> None:
            note = "stopping …" if job.stop_requested() else _note(now)
            bar.update(task, description=now.message, completed=now.fraction, note=note)

        end = follow(job, look)
    if end.status is JobStatus.FAILED:
        raise JobProblem(f"{end.error} (log: {job.folder.log})")
    if end.status is JobStatus.STOPPED:
        complain(end.message)
        raise typer.Exit(130)
    complain(end.message)
    return {"job": job.id, **(job.result() or {})}


def _note(now: "JobSnapshot") -> str:
    """Put step, loss and time left into a few words."""
    parts = [f"{now.step}/{now.steps}"] if now.steps else []
    loss = now.latest.get("losses", {}).get("total")
    if loss is not None:
        parts.append(f"loss {loss:.3f}")
    if now.seconds_left is not None:
        minutes, seconds = divmod(round(now.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02d} left")
    return "  ".join(parts)
