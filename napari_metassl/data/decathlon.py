"""The left atrium task of the Medical Segmentation Decathlon, fetched when a person asks for it.

Mono-modal MRI, 20 labeled and 10 unlabeled volumes, King's College London; licence CC BY-SA 4.0
(Antonelli et al., "The Medical Segmentation Decathlon", Nature Communications 13, 2022).
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import IO

from napari_metassl.data.cache_folder import cache_folder
from napari_metassl.data.file_checks import size_text
from napari_metassl.data.file_lock import FileLock
from napari_metassl.data.volume_io import list_volumes
from napari_metassl.errors import Cancelled, FileProblem, ProjectProblem

TASK = "Task02_Heart"
LICENCE = "CC BY-SA 4.0"
DISK_NEEDED = 1_000_000_000
"""Bytes for the archive (435 MB) and what is in it."""
POLL_SECONDS = 0.1
SILENCE_SECONDS = 30.0
"""How long a server may say nothing."""


def heart_folder() -> Path:
    """Return where the task lies once it is downloaded."""
    return cache_folder() / "decathlon" / TASK


def heart_cases(folder: Path) -> list[tuple[Path, Path]]:
    """Return (image, labels) paths of the labeled cases, sorted by name."""
    images, labels = list_volumes(folder / "imagesTr"), list_volumes(folder / "labelsTr")
    return [(path, labels[name]) for name, path in images.items() if name in labels]


def fetch_heart(
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Return the task's folder, downloading it in a process of its own if it is not there yet.

    MONAI brings torch with it, which must not be loaded beside the window.

    Parameters
    ----------
    progress
        Called often, with the share downloaded (0 to 1).
    cancelled
        Asked often; True ends the download.

    Raises
    ------
    FileProblem
        When it cannot be downloaded, checked or stored.
    Cancelled
        When `cancelled` said so.
    """
    folder = heart_folder()
    if folder.is_dir():
        return folder
    command = [sys.executable, "-P", "-m", "napari_metassl.data.decathlon", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            said = _watch(process, progress or (lambda _: None), cancelled or (lambda: False))
        except BaseException:
            process.kill()  # or leaving the block would wait for the download
            raise
    if process.returncode != 0 or not folder.is_dir():
        raise FileProblem(said or _sentence("the downloading process ended early"))
    return folder


def _watch(
    process: subprocess.Popen[bytes],
    progress: Callable[[float], None],
    cancelled: Callable[[], bool],
) -> str:
    """Follow the downloading process to its end and return the last line it said."""
    assert process.stderr is not None
    assert process.stdout is not None
    meter = _Meter(process.stderr)
    while process.poll() is None:
        progress(meter.share)
        if cancelled():
            raise Cancelled("The download was stopped. Open the entry again to start over.")
        sleep(POLL_SECONDS)
    lines = process.stdout.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""  # MONAI writes a log in front of it


def download_heart(folder: Path) -> Path:
    """Download, check and unpack the task with MONAI, in this process.

    Parameters
    ----------
    folder
        Where it shall lie. It appears there as a whole or not at all; an archive that arrived is
        kept until then, so a broken unpacking does not download again.

    Raises
    ------
    FileProblem
        Without internet, on a wrong checksum, a full disk ...
    """
    if folder.is_dir():
        return folder
    aside = folder.with_name(f"{folder.name}.part")
    with _said_in_one_sentence():
        aside.mkdir(parents=True, exist_ok=True)
        with _only_download(aside / "lock"):
            _unpack_into(aside)
            if not heart_cases(aside / TASK):
                raise FileProblem(_sentence("the archive holds no labeled volume"))
            (aside / TASK).rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
    return folder


def _unpack_into(folder: Path) -> None:
    from monai.apps import DecathlonDataset, download_url, extractall

    _require_disk(folder)
    shutil.rmtree(folder / TASK, ignore_errors=True)  # MONAI takes a half unpacked one for whole
    archive = folder / f"{TASK}.tar"
    url, checksum = DecathlonDataset.resource[TASK], DecathlonDataset.md5[TASK]
    with _temporary_files_in(folder):
        try:
            download_url(url, archive, hash_val=checksum, hash_type="md5")
        except Exception:
            archive.unlink(missing_ok=True)  # or a damaged one would be found again and again
            raise
    extractall(archive, folder)


@contextmanager
def _said_in_one_sentence() -> Iterator[None]:
    """Turn what urllib, tarfile, MONAI and the disk raise into one sentence."""
    try:
        yield
    except FileProblem:
        raise
    except Exception as error:
        raise FileProblem(_sentence(_cause(error))) from error


def _cause(error: Exception) -> str:
    name = type(error).__name__
    if name == "HTTPError":
        return f"the server answered {error}"
    if name in ("URLError", "ContentTooShortError") or isinstance(error, TimeoutError):
        return "the server cannot be reached (no internet connection, or a proxy is in between)"
    if name == "HashCheckError":
        return "what arrived has another checksum than the original"
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else name


def _sentence(cause: str) -> str:
    return (
        f"The Decathlon's left atrium MRI ({LICENCE}, 435 MB) could not be downloaded: {cause}. "
        "Try again later, or open volumes of your own."
    )


@contextmanager
def _only_download(path: Path) -> Iterator[None]:
    """Keep two windows from downloading into one another."""
    try:
        lock = FileLock(path, "The download")
    except ProjectProblem as held:
        raise FileProblem(_sentence("it is being downloaded already")) from held
    try:
        yield
    finally:
        lock.release()


def _require_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < DISK_NEEDED:
        raise FileProblem(
            _sentence(
                f"it needs {size_text(DISK_NEEDED)} in '{folder.parent}' where {size_text(free)} "
                "is free (NAPARI_METASSL_CACHE chooses another folder)"
            )
        )


@contextmanager
def _temporary_files_in(folder: Path) -> Iterator[None]:
    """Let MONAI's temporary file lie beside its goal, where there is room for it."""
    import tempfile

    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


class _Meter:
    """Reads the percentage tqdm writes to a stream, beside whatever waits for it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.share = 0.0
        threading.Thread(target=self._follow, args=(stream,), daemon=True).start()

    def _follow(self, stream: IO[bytes]) -> None:
        rest = b""
        while chunk := os.read(stream.fileno(), 4096):
            rest = (rest + chunk)[-4096:]
            if found := re.findall(rb"(\d+)%\|", rest):
                self.share = min(int(found[-1]) / 100, 1.0)


def _main(folder: str) -> int:
    socket.setdefaulttimeout(SILENCE_SECONDS)
    try:
        download_heart(Path(folder))
    except FileProblem as problem:
        print(problem)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(sys.argv[1]))
