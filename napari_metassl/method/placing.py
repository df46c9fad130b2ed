"""Where a prediction is computed: device, precision, batch; and what to do short of memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from napari_metassl.errors import PairProblem

Precision = Literal["auto", "32", "16-mixed", "bf16-mixed"]

_CPU = torch.device("cpu")
_BATCH = {("cuda", 3): 4, ("cuda", 2): 32, ("cpu", 3): 1, ("cpu", 2): 8}


@dataclass(frozen=True)
class Placing:
    """How windows are computed.

    Attributes
    ----------
    device
        Of the networks.
    gather_on
        Of the blended probabilities of one slab.
    batch
        Windows fed to the networks together.
    dtype
        Of the mixed precision; None computes in float32 throughout.
    """

    device: torch.device
    gather_on: torch.device
    batch: int
    dtype: torch.dtype | None

    def thriftier(self) -> Placing | None:
        """Return the next way to need less memory, or None when there is none left."""
        if self.batch > 1:
            return replace(self, batch=self.batch // 2)
        if self.gather_on != _CPU:
            return replace(self, gather_on=_CPU)
        if self.device != _CPU:
            return replace(self, device=_CPU, dtype=None)
        return None

    def describe(self) -> str:
        """'on cuda, 2 windows at a time', for messages."""
        windows = f"{self.batch} window{'s' if self.batch > 1 else ''} at a time"
        gathered = "" if self.gather_on == self.device else f", gathered on {self.gather_on}"
        return f"on {self.device}, {windows}{gathered}"


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to compute on; 'auto' takes CUDA where there is one.

    Raises
    ------
    PairProblem
        If the device does not exist here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(1, device=picked)
    except (RuntimeError, AssertionError) as error:
        raise PairProblem(
            f"Device '{device}' cannot be used here ({str(error).splitlines()[0].rstrip('.')}). "
            "Use 'auto' or 'cpu'."
        ) from error
    return picked


def first_placing(
    device: str | torch.device, precision: Precision, batch: int | None, *, dims: int
) -> Placing:
    """Return how to begin: batch and precision chosen for the device where not given.

    On the CPU '16-mixed' is float32: half precision is slower there.
    """
    picked = pick_device(device)
    dtype: torch.dtype | None = None
    if precision == "bf16-mixed":
        dtype = torch.bfloat16
    elif precision in ("auto", "16-mixed") and picked.type == "cuda":
        dtype = torch.float16
    chosen = batch or _BATCH.get((picked.type, dims), 1)
    return Placing(picked, picked, chosen, dtype)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that the device, or the computer, has no memory left."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in ("out of memory", "can't allocate memory"))
