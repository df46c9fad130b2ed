"""The running job's own side of its folder: report, look for a stop request."""

import time
from typing import Any

from napari_metassl.errors import Cancelled
from napari_metassl.jobs.job import Job

REPORT_SECONDS = 0.2
"""Progress is written at most so often; a window that looks on refreshes no faster."""


class JobRun:
    """What the work is given to speak through.

    Parameters
    ----------
    job : Job
        The job that is running in this process.
    """

    def __init__(self, job: Job):
        self.job = job
        self._reported = 0.0

    def report(
        self, message: str, fraction: float, *, always: bool = False, **figures: Any
    ) -> None:
        """Append a progress record, unless the last one is fresh and this one is not `always`.

        Parameters
        ----------
        message : str
            What is going on, for a person.
        fraction : float
            Share of the whole job that is done, 0 to 1.
        figures : dict
            Anything that can be JSON: step, steps, losses, ...
        """
        moment = time.monotonic()
        if not always and moment - self._reported < REPORT_SECONDS:
            return
        self._reported = moment
        record = {"time": round(time.time(), 3), "message": message, "fraction": fraction}
        self.job.append_progress(record | figures)

    def stop_requested(self) -> bool:
        """Whether the work should end at the next place where it can."""
        return self.job.stop_requested()

    def stop_here(self, kept: str) -> None:
        """End the work if that was asked for.

        Raises
        ------
        Cancelled
            With `kept`, the sentence saying what was done and is kept.
        """
        if self.stop_requested():
            raise Cancelled(kept)
