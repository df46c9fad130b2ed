"""Training in two processes that torchrun starts, on the CPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

STRATEGIES = ("cps", "mean_teacher", "cct")
SCRIPT = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_trainer import make, settings, weights
from napari_metassl.method.losses import NotFiniteError

torch.set_num_threads(1)
kept = {{}}
for strategy in {strategies!r}:
    trainer = make(settings(strategy=strategy, steps=6))
    rank = trainer._fabric.global_rank
    drawn = trainer._sampler.batch(0).image
    list(trainer.steps())
    thresholds = trainer._loss.thresholds.stored
    kept[strategy] = {{"weights": weights(trainer), "drawn": drawn, "thresholds": thresholds}}

trainer = make(settings(steps=6))
draw = trainer._sampler.batch
def spoiled(step):
    batch = draw(step)
    if step == 3 and rank == 1:
        batch.image[...] = float("nan")
    return batch
trainer._sampler.batch = spoiled
try:
    list(trainer.steps())
except NotFiniteError as problem:
    kept["said"] = str(problem)
torch.save(kept, Path({folder!r}) / f"{{rank}}.pt")
"""


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """What each of two processes that train together has in the end."""
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    folder = tmp_path_factory.mktemp("several")
    script = folder / "train.py"
    tests = str(Path(__file__).parent)
    script.write_text(SCRIPT.format(tests=tests, strategies=STRATEGIES, folder=str(folder)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_processes_draw_their_own_batches_and_end_with_the_same_pair(ends, strategy):
    first, second = (end[strategy] for end in ends)
    assert not torch.equal(first["drawn"], second["drawn"])
    assert torch.equal(first["thresholds"], second["thresholds"])
    for one, other in zip(first["weights"], second["weights"], strict=True):
        assert torch.equal(one, other)


def test_nan_in_one_process_stops_both(ends):
    for end in ends:
        assert "Training stopped in step 4, the networks are those of step 0" in end["said"]
