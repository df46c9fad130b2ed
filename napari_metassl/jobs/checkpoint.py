"""The state a training goes on from, written aside and renamed; never unpickled."""

import os
from typing import Any

import torch

from napari_metassl.errors import JobProblem
from napari_metassl.jobs.job import JobFolder

CHECKPOINT = "training.pt"


def save_checkpoint(folder: JobFolder, state: dict[str, Any]) -> None:
    """Replace the job's checkpoint."""
    folder.checkpoints.mkdir(exist_ok=True)
    path = folder.checkpoints / CHECKPOINT
    aside = path.with_name(f".{CHECKPOINT}.part")
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load_checkpoint(folder: JobFolder) -> dict[str, Any] | None:
    """Read the job's checkpoint, tensors and plain values only; None when there is none.

    Raises
    ------
    JobProblem
        When it is damaged.
    """
    path = folder.checkpoints / CHECKPOINT
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        raise JobProblem(
            f"The checkpoint '{path}' cannot be read ({type(error).__name__}); delete it to begin "
            "this job anew."
        ) from error
    return state


def remove_checkpoint(folder: JobFolder) -> None:
    """Free the disk once the job is done and nothing is left to go on with."""
    (folder.checkpoints / CHECKPOINT).unlink(missing_ok=True)
