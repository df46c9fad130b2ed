"""The edit journal: every edit of a volume on disk before anything else happens.

One JSON record a line, appended and flushed to the disk, never rewritten in place. The first
record is a header with the volume's shape; every other one is an edit with old and new values:

    {"seq": 7, "time": ..., "who": ..., "action": "paint", "shape": [Z, Y, X], "voxels": 123,
     "runs": ..., "crc32": "0a1b2c3d"}

The checksum, the last field, is that of all bytes before it. A last record that was torn by a
crash is dropped, and set aside before the next one is written; a record damaged in the middle is
skipped and said so; all others are kept.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from napari_metassl.data.edit_runs import EditRuns
from napari_metassl.data.file_lock import FileLock
from napari_metassl.errors import ProjectProblem

FORMAT = "napari-metassl edit journal"
FORMAT_VERSION = 1

_LINE = re.compile(rb'(?P<body>\{"seq":.*),"crc32":"(?P<crc>[0-9a-f]{8})"\}', re.DOTALL)
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
_RECORD_START = re.compile(rb'(?=\{"seq":)')

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class EditRecord:
    """One edit: who did what and when, and the voxels before and after."""

    seq: int
    time: datetime
    who: str
    action: str
    runs: EditRuns
    undoes: int | None = None
    """`seq` of the edit this one takes back."""


@dataclass(frozen=True, eq=False)
class JournalContent:
    """What a journal file holds.

    Attributes
    ----------
    edits
        In order.
    next_seq
        Number of the next record.
    damaged
        How many records in the middle cannot be read.
    torn
        The bytes after the last whole record: one that was being written when its writer died.
    end
        Where the whole records end, in bytes.
    """

    edits: tuple[EditRecord, ...] = ()
    next_seq: int = 0
    damaged: int = 0
    torn: bytes = b""
    end: int = 0


def read_journal(path: Path, shape: Sequence[int]) -> JournalContent:
    """Read a journal without changing it, even while another process appends to it.

    Raises
    ------
    ProjectProblem
        If it cannot be read, is of a later format, or of a volume of another shape.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return JournalContent()
    except OSError as error:
        raise ProjectProblem(
            f"The edit journal '{path}' cannot be read ({error}). Make it readable."
        ) from error
    lines = content.split(b"\n")
    found = [_bodies_of(line) for line in lines]
    # A last line without its end is whole if only its end is missing, and torn otherwise.
    torn = b"" if found[-1] else lines[-1]
    unread = sum(not bodies and bool(line) for bodies, line in zip(found, lines, strict=True))
    edits, malformed = _edits_of(path, list(chain(*found)), tuple(int(n) for n in shape))
    seqs = {body["seq"] for body in chain(*found)}
    next_seq = max(seqs, default=-1) + 1
    # A damaged line is missed as a number, unless it is the last one; a deleted line as well.
    damaged = max(unread - bool(torn), next_seq - len(seqs)) + malformed
    return JournalContent(edits, next_seq, damaged, torn, len(content) - len(torn))


class EditJournal:
    """A journal open for writing, by one process at a time.

    Attributes
    ----------
    edits : list of EditRecord
        All edits, those read and those appended.
    notices : list of str
        What the person should know about the state the file was found in.
    recovered_edits : int
        Edits of a session that was killed before it could close the journal.
    """

    def __init__(self, path: Path, volume: str, shape: Sequence[int]) -> None:
        """Lock, read and mend the journal, and begin it if there is none.

        Raises
        ------
        ProjectProblem
            If it is open elsewhere, cannot be written, or is of a volume of another shape.
        """
        self.path = path
        self.shape: Shape = tuple(int(n) for n in shape)  # type: ignore[assignment]
        self._descriptor = -1
        self._leftover = False  # whether part of a record that failed is behind the end
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(lock_path(path), f"Volume '{volume}'")
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            self._read_and_mend(volume)
        except OSError as error:
            self.close()
            raise _unwritable(path, error) from error
        except BaseException:
            self.close()
            raise

    @property
    def closed(self) -> bool:
        """Whether the journal was closed."""
        return self._descriptor < 0

    def append(
        self, action: str, runs: EditRuns, *, who: str | None = None, undoes: int | None = None
    ) -> EditRecord:
        """Write one edit to the disk; it is there when this returns.

        Raises
        ------
        ProjectProblem
            If it could not be written; the journal is then as it was before.
        """
        record = EditRecord(
            self._next_seq, datetime.now(UTC), who or current_user(), action, runs, undoes
        )
        body = {
            "seq": record.seq,
            "time": record.time.isoformat(timespec="milliseconds"),
            "who": record.who,
            "action": action,
            **({} if undoes is None else {"undoes": undoes}),
            "shape": self.shape,
            "voxels": runs.count,
            "runs": runs.encode(),
        }
        self._append(body)
        self.edits.append(record)
        return record

    def close(self) -> None:
        """Give the journal free."""
        if not self.closed:
            os.close(self._descriptor)
            self._descriptor = -1
        self._lock.release()

    def _append(self, body: dict[str, Any]) -> None:
        if self.closed:
            raise ProjectProblem(
                f"The edit journal '{self.path}' is closed. Open the volume again."
            )
        try:
            self._require_in_place()
            self._write(_line_of(body))
        except OSError as error:
            raise ProjectProblem(
                f"The last edit could not be written to '{self.path}' ({error.strerror}). Make "
                "space or put the file back; the next edit will write it too."
            ) from error
        self._next_seq = body["seq"] + 1

    def _write(self, content: bytes) -> None:
        """Append all of `content` and flush it to the disk, or leave the file as it was."""
        if self._leftover:
            os.ftruncate(self._descriptor, self._end)
            self._leftover = False
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except BaseException:
            self._leftover = True
            with suppress(OSError):  # if this fails too, the next edit tries again
                os.ftruncate(self._descriptor, self._end)
                self._leftover = False
            raise
        self._end += len(content)

    def _require_in_place(self) -> None:
        """Do not write into a file that was deleted or replaced: it would be lost unseen."""
        if not os.path.samestat(self.path.stat(), os.fstat(self._descriptor)):
            raise OSError(0, "the file was replaced by another program")

    def _read_and_mend(self, volume: str) -> None:
        found = read_journal(self.path, self.shape)
        self.edits = list(found.edits)
        self.notices = _notices(self.path, found)
        self.recovered_edits = self._count_recovered()
        self._descriptor = os.open(self.path, _APPEND, 0o644)
        self._next_seq, self._end = found.next_seq, found.end
        self._set_aside(found.torn)
        if found.end and not _ends_line(self._descriptor, found.end):
            self._write(b"\n")
        if not found.next_seq:
            header = {"format": FORMAT, "format_version": FORMAT_VERSION, "volume": volume}
            self._append({"seq": 0, "time": _now(), **header, "shape": self.shape})
            _sync_folder(self.path.parent)
        self._lock.note(str(self._next_seq))

    def _set_aside(self, torn: bytes) -> None:
        """Cut a torn last record off, but only after it is safe in another file."""
        if torn:
            aside = os.open(self.path.with_name(self.path.name + ".torn"), _APPEND, 0o644)
            os.write(aside, torn + b"\n")
            os.fsync(aside)
            os.close(aside)
            os.ftruncate(self._descriptor, self._end)

    def _count_recovered(self) -> int:
        """Edits from the record on that a killed session noted as its first."""
        noted = self._lock.left_behind.split(" ")[1:]
        if not noted or not noted[0].isdecimal():
            return 0
        return sum(edit.seq >= int(noted[0]) for edit in self.edits)


def lock_path(journal: Path) -> Path:
    """Where the lock of a journal is kept."""
    return journal.with_name(journal.name + ".lock")


@cache
def current_user() -> str:
    """Login name of the person, "unknown" where there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _line_of(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, separators=(",", ":")).encode("ascii")[:-1]
    return text + b',"crc32":"%08x"}\n' % zlib.crc32(text)


def _bodies_of(line: bytes) -> list[dict[str, Any]]:
    """Find the records of a line: none if damaged, several if a line end between them is."""
    whole = _body_of(line)
    if whole is not None:
        return [whole]
    pieces = (_body_of(piece[: piece.rfind(b"}") + 1]) for piece in _RECORD_START.split(line))
    return [body for body in pieces if body is not None]


def _body_of(line: bytes) -> dict[str, Any] | None:
    match = _LINE.fullmatch(line)
    if match is None or zlib.crc32(match["body"]) != int(match["crc"], 16):
        return None
    try:
        body = json.loads(match["body"] + b"}")
    except ValueError:
        return None
    return body if isinstance(body, dict) and isinstance(body.get("seq"), int) else None


def _edits_of(
    path: Path, bodies: Sequence[dict[str, Any]], shape: tuple[int, ...]
) -> tuple[tuple[EditRecord, ...], int]:
    """Make all edits, and count the records that are whole but no edits."""
    edits, malformed = [], 0
    for body in bodies:
        try:
            edits.append(_edit_of(path, body, shape))
        except ProjectProblem:
            raise
        except (KeyError, TypeError, ValueError):
            malformed += 1
    return tuple(edit for edit in edits if edit is not None), malformed


def _edit_of(path: Path, body: dict[str, Any], shape: tuple[int, ...]) -> EditRecord | None:
    """Make the edit of a record, None for a header.

    Raises
    ------
    KeyError, TypeError, ValueError
        If its fields are not those of an edit.
    """
    if body.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
        raise ProjectProblem(
            f"The edit journal '{path}' has format_version {body['format_version']}, expected "
            f"{FORMAT_VERSION}. Update napari-metassl."
        )
    if tuple(body["shape"]) != shape:
        raise ProjectProblem(
            f"The edit journal '{path}' is of a volume of shape {tuple(body['shape'])}, but the "
            f"volume has {shape}. Put the image it was made on back, or move the journal away."
        )
    if "runs" not in body:
        return None
    runs = EditRuns.decode(body["runs"], shape[0] * shape[1] * shape[2])
    time = datetime.fromisoformat(body["time"])
    return EditRecord(body["seq"], time, body["who"], body["action"], runs, body.get("undoes"))


def _notices(path: Path, found: JournalContent) -> list[str]:
    notices = []
    if found.torn:
        notices.append(
            f"An edit was being written to '{path.name}' when the program ended, and is not "
            f"whole: its {len(found.torn)} bytes are set aside in '{path.name}.torn'. "
            f"The {len(found.edits)} edits before it are kept."
        )
    if found.damaged:
        notices.append(
            f"{found.damaged} record(s) of '{path.name}' are damaged and were skipped, the other "
            f"{len(found.edits)} edits are kept. Look over the volume, or restore the file."
        )
    return notices


def _unwritable(path: Path, error: OSError) -> ProjectProblem:
    return ProjectProblem(
        f"'{path}' cannot be written ({error.strerror}). Make it writable and free space, or work "
        "on a copy of the project."
    )


def _ends_line(descriptor: int, end: int) -> bool:
    os.lseek(descriptor, end - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def _sync_folder(folder: Path) -> None:
    """Make a new file's name last; Windows does so by itself."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):  # some network disks refuse
            os.fsync(descriptor)
        os.close(descriptor)
