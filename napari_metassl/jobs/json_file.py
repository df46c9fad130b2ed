"""JSON on disk that is never seen half written: files renamed into place, lines appended."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` aside, flush it to the disk and rename it to `path`."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(to_json(content, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read one JSON object; None when the file is not there or is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append `record` as one line, starting a line of its own after one that was torn off."""
    line = to_json(record).encode() + b"\n"
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)


def read_lines(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Read the records of the complete lines from byte `offset` on, and the offset to go on from.

    A last line without its end is left for the next call; a damaged line is passed over.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read()
    except OSError:
        return [], offset
    complete = content[: content.rfind(b"\n") + 1]
    records = [record for line in complete.splitlines() if (record := _record(line)) is not None]
    return records, offset + len(complete)


def to_json(content: Any, indent: int | None = None) -> str:
    """Strict JSON of plain values, arrays and dates: what is undefined (nan) becomes null."""
    return json.dumps(_plain(content), indent=indent, allow_nan=False, ensure_ascii=False)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    if isinstance(value, datetime | Path):
        return value.isoformat() if isinstance(value, datetime) else str(value)
    if hasattr(value, "tolist"):  # numpy and torch
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON.")
