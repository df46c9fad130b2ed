"""The most memory that an action's tensors need at once, on a CPU or a GPU."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(action: Callable[[], object], device: torch.device) -> int:
    """Largest number of bytes in tensors at one time during `action`, beyond those before it.

    What exists before the call, such as the inputs, does not count; what the action returns
    does, and so do temporaries inside an operation. On CUDA it is the allocator's own maximum.
    On a CPU the profiler notes every allocation and release of a tensor's memory, and this is
    the largest running sum of them: the same in every run, whatever else the process holds.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        action()
    return max(accumulate(_changes(recorded), initial=0))


def _changes(recorded: profile) -> list[int]:
    """Bytes of every allocation, and minus those of every release, in order of time."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    entries = sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"])
    return [int(entry["args"]["Bytes"]) for entry in entries]
