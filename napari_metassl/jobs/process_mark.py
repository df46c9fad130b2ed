"""Recognising a process again: its pid alone is not enough, pids are given out anew."""

import os
import platform
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ProcessMark(BaseModel):
    """What tells one process from every other: the machine, the pid, and when it began.

    Attributes
    ----------
    host : str
        Name of the machine; the pid means nothing on another one.
    pid : int
        Process id.
    started : str
        When the process began, in a form that equals itself for as long as the process lives.
    """

    model_config = ConfigDict(frozen=True)

    host: str
    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "ProcessMark | None":
        """Mark the living process `pid`; None when there is no such process."""
        started = _started(pid)
        return None if started is None else cls(host=platform.node(), pid=pid, started=started)

    @classmethod
    def of_this_process(cls) -> "ProcessMark":
        """Mark the process that asks."""
        return cls(host=platform.node(), pid=os.getpid(), started=_started(os.getpid()) or "")

    def on_this_host(self) -> bool:
        """Whether the process was started on this machine, so that its pid can be looked up."""
        return self.host == platform.node()

    def is_alive(self) -> bool:
        """Whether this very process still runs here (a zombie does not, a reused pid does not)."""
        return self.on_this_host() and _started(self.pid) == self.started


def _started(pid: int) -> str | None:
    """When process `pid` began, or None when it is gone or a zombie.

    On Linux this is the kernel's own tick count since boot: the time of day psutil derives from
    it moves when the clock is set, and a living job would then look dead.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if _BOOT_ID.exists():
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            ticks = stat.rpartition(")")[2].split()[19]  # field 22; the name may hold spaces
            return f"{_BOOT_ID.read_text().strip()}:{ticks}"
        return f"{process.create_time():.2f}"
    except (psutil.Error, OSError, ValueError):
        return None
