"""One writer at a time: an advisory lock held by a file beside the one it guards."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from napari_metassl.errors import ProjectProblem

_HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_BYTE = 1 << 30  # Windows keeps a locked byte from being read: lock one behind the text


class FileLock:
    """A lock that ends with the process that holds it, however that ends.

    The file also holds a line of text, cleared on `release`: one found on taking the lock means
    that the process before was killed.

    Attributes
    ----------
    left_behind : str
        What a killed process had noted, "" after one that ended well.
    """

    def __init__(self, path: Path, what: str) -> None:
        """Take the lock.

        Raises
        ------
        ProjectProblem
            If another window, or this one, holds it.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        note = os.read(self._descriptor, 200).decode("ascii", errors="replace").strip()
        if not _try_lock(self._descriptor):
            os.close(self._descriptor)
            pid = note.split(" ")[0]
            here = pid == str(os.getpid())
            where = "already open here" if here else f"open in another window (process {pid})"
            raise ProjectProblem(f"{what} is {where}. Close it there first.")
        self.left_behind = note

    def note(self, text: str) -> None:
        """Replace the text by this process's id and `text`."""
        self._write(f"{os.getpid()} {text}\n".encode("ascii"))

    def release(self) -> None:
        """Clear the text and give the lock free."""
        self._write(b"")
        os.close(self._descriptor)

    def _write(self, content: bytes) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, content)


def was_killed(path: Path) -> bool:
    """Whether the process that held the lock at `path` last ended without giving it free."""
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    except OSError:
        return False
    try:
        return bool(os.read(descriptor, 200).strip()) and _try_lock(descriptor)
    finally:
        os.close(descriptor)  # gives it free again


def _try_lock(descriptor: int) -> bool:
    """Lock without waiting; on a disk that knows no locks, do without."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD_BY_ANOTHER
    return True
