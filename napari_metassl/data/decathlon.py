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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from napari_metassl.data.cache_folder import cache_folder
from napari_metassl.data.file_checks import size_text
from napari_metassl.data.volume_io import list_volumes
from napari_metassl.errors import Cancelled, FileProblem

TASK = "Task02_Heart"
LICENCE = "CC BY-SA 4.0"
DISK_NEEDED = 1_000_000_000
"""Bytes for the archive (435 MB) and what is in it."""
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
        assert process.stderr is not None
        for share in _shares(process.stderr):
            if progress is not None:
                progress(share)
            if cancelled is not None and cancelled():
                process.terminate()
                raise Cancelled("The download was stopped. Open the entry again to start over.")
        message = process.stdout.read().decode() if process.stdout else ""
    if process.returncode != 0 or not folder.is_dir():
        raise FileProblem(message.strip() or _sentence("the downloading process ended early"))
    return folder


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
    from monai.apps import DecathlonDataset, download_and_extract

    aside = folder.with_name(f"{folder.name}.part")
    with _said_in_one_sentence():
        aside.mkdir(parents=True, exist_ok=True)
        _require_disk(aside)
        shutil.rmtree(aside / TASK, ignore_errors=True)
        with _temporary_files_in(aside):
            download_and_extract(
                DecathlonDataset.resource[TASK],
                filepath=aside / f"{TASK}.tar",
                output_dir=aside,
                hash_val=DecathlonDataset.md5[TASK],
                hash_type="md5",
            )
        if not heart_cases(aside / TASK):
            raise FileProblem(_sentence("the archive holds no labeled volume"))
        (aside / TASK).rename(folder)
    shutil.rmtree(aside, ignore_errors=True)
    return folder


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


def _shares(stream: IO[bytes]) -> Iterator[float]:
    """Yield the last percentage seen in tqdm's output as 0 to 1, whenever something is written."""
    share, rest = 0.0, b""
    while chunk := os.read(stream.fileno(), 4096):
        rest = (rest + chunk)[-4096:]
        if found := re.findall(rb"(\d+)%\|", rest):
            share = min(int(found[-1]) / 100, 1.0)
        yield share


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
