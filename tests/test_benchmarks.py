"""What the benchmarks' figures rest on; nothing here is timed."""

import os
import time
from pathlib import Path

import pytest
import torch

from benchmarks.figures import Figure
from benchmarks.kill import kill_many
from benchmarks.loss import LossStep
from benchmarks.memory import peak_bytes
from benchmarks.training import check_patches, write_volumes

CPU = torch.device("cpu")
MIB = 2**20


def test_ratio_is_above_one_where_ours_is_better() -> None:
    time = Figure("a time", ours=2.0, baseline=6.0, unit="ms", note="")
    rate = Figure("a rate", ours=6.0, baseline=2.0, unit="steps/s", note="", better="more")
    assert time.ratio == rate.ratio == 3.0
    assert set(rate.as_row()) == {"name", "ours", "baseline", "ratio", "unit", "note"}


def test_peak_memory_counts_temporaries_and_not_the_inputs() -> None:
    x = torch.zeros(MIB // 4, requires_grad=True)
    known = {
        lambda: x.detach() + 1: 1,
        lambda: (x.detach() + 1) * 2 + 1: 2,  # two at a time
        lambda: torch.stack([x.detach()] * 3).sum(): 3,
        lambda: x.exp().exp().sum().backward(): 3,  # both results and a gradient
    }
    for action, expected in known.items():
        assert peak_bytes(action, CPU) == pytest.approx(expected * MIB, abs=1000)


@pytest.mark.parametrize("size", [(2, 2, 24, 32, 32), (4, 3, 64, 64)])
def test_straightforward_loss_is_the_same_and_needs_three_times_the_memory(
    size: tuple[int, ...],
) -> None:
    step = LossStep(size, CPU)
    step.check()
    assert 3 * peak_bytes(step.ours, CPU) < peak_bytes(step.baseline, CPU)


def test_plain_loop_draws_the_patches_of_the_trainer(tmp_path: Path) -> None:
    check_patches(write_volumes(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is Unix")
def test_a_few_killed_sessions_lose_no_finished_stroke(tmp_path: Path) -> None:
    done = kill_many(5, tmp_path, seed=int(time.time()))
    assert done.kills == 5 and done.finished > 20
    assert (done.lost, done.changed, done.unreadable) == (0, 0, 0)
