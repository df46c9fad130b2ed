"""Training steps per second: the trainer against a plain loop over the same patches."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.figures import Figure
from benchmarks.straightforward import straightforward
from napari_metassl.method.batch import Batch
from napari_metassl.method.network_config import NetworkConfig
from napari_metassl.method.networks import build_network
from napari_metassl.method.patches import PatchSampler, PatchSource
from napari_metassl.method.placing import pick_device
from napari_metassl.method.trainer import Trainer
from napari_metassl.method.training_config import TrainingConfig
from napari_metassl.method.training_volume import TrainingVolume

SHAPE = (44, 70, 90)
VOLUMES, LABELED = 8, 4
CLASSES = 2
WARM_UP, STEPS = 2, 12
CONFIG = TrainingConfig(steps=WARM_UP + STEPS, threshold_momentum=0.0, validate_every=0)
"""Two networks that teach each other, patches of 40 x 64 x 64, two labeled and two not.

The thresholds stay at the cap, so that both ways compute the same.
"""


def measure() -> list[Figure]:
    """Time one step of each, in this order, after two that are not counted."""
    device = pick_device()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_volumes(Path(folder))
        check_patches(paths)
        _check_loss(paths, device)
        plain = _rate(plain_steps(paths, CONFIG, device), device)
        figures = []
        for precision in _precisions(device):
            config = CONFIG.model_copy(update={"precision": precision})
            ours = _rate(trainer_steps(paths, config), device)
            figures.append(_figure(ours, plain, precision, device))
    return figures


def _figure(ours: float, plain: float, precision: str, device: torch.device) -> Figure:
    where = f"{torch.get_num_threads()} threads" if device.type == "cpu" else "GPU"
    patch = " x ".join(map(str, CONFIG.patch_size))
    items = f"{CONFIG.batch_labeled} + {CONFIG.batch_unlabeled}"
    note = f"2 UNets, {items} patches of {patch}, precision {precision}, {where}"
    return Figure("training", ours, plain, "steps/s", note, better="more")


def _precisions(device: torch.device) -> list[str]:
    """Return the default, and on a CPU that computes in it bfloat16."""
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return ["auto", "bf16-mixed"]
    return ["auto"]


def trainer_steps(paths: list[Path], config: TrainingConfig) -> Iterator[float]:
    """Total loss of every step of the trainer; each volume is read once, before the first."""
    trainer = Trainer(_networks(), [_read(path) for path in paths], config, classes=CLASSES)
    for report in trainer.steps():
        yield report.losses["total"]


def plain_steps(paths: list[Path], config: TrainingConfig, device: torch.device) -> Iterator[float]:
    """Total loss of every step of a plain loop.

    Reads a volume at every draw, computes in single precision and takes the straightforward
    loss. The patches are those of the trainer: same positions, same augmentation.
    """
    sampler = reading_sampler(paths, config)
    networks = [network.to(device).train() for network in _networks()]
    weights = [weight for network in networks for weight in network.parameters()]
    optimizer = torch.optim.AdamW(
        weights, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    for step in range(config.steps):
        batch = sampler.batch(step).to(device)
        loss = _plain_loss([network(batch.image) for network in networks], batch, config, step)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        yield loss.item()


def _plain_loss(logits: list[Tensor], batch: Batch, config: TrainingConfig, step: int) -> Tensor:
    return straightforward(
        logits,
        batch.label.long(),
        config,
        labeled=config.batch_labeled,
        consistency=config.consistency_weight(step),
    )


def reading_sampler(paths: list[Path], config: TrainingConfig) -> PatchSampler:
    """Return a sampler that draws what the trainer's does but reads the file at every draw."""
    volumes = [_read(path) for path in paths]
    sampler = PatchSampler(volumes, config)
    for source in {*sampler.full, *sampler.unlabeled}:
        path = paths[volumes.index(source.volume)]
        source.cut = partial(_read_and_cut, source, path)  # type: ignore[method-assign]
    return sampler


def _read_and_cut(
    source: PatchSource, path: Path, start: npt.NDArray[np.int64]
) -> list[npt.NDArray[np.generic]]:
    source.volume = _read(path)
    return PatchSource.cut(source, start)


def check_patches(paths: list[Path]) -> None:
    """Raise unless both ways draw the same patches."""
    kept = PatchSampler([_read(path) for path in paths], CONFIG)
    read = reading_sampler(paths, CONFIG)
    for step in range(2):
        one, other = vars(kept.batch(step)), vars(read.batch(step))
        torch.testing.assert_close(one, other, rtol=0.0, atol=0.0)


def _check_loss(paths: list[Path], device: torch.device) -> None:
    """Raise unless both ways have the same loss in the first step, in single precision."""
    exact = CONFIG.model_copy(update={"precision": "32"})
    losses = (next(trainer_steps(paths, exact)), next(plain_steps(paths, CONFIG, device)))
    torch.testing.assert_close(*losses, rtol=1e-3, atol=0.0)


def _rate(steps: Iterator[float], device: torch.device) -> float:
    """Measure steps per second, from the median step."""
    seconds = []
    for _ in range(WARM_UP):
        next(steps)
    start = time.perf_counter()
    for _ in steps:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return 1.0 / statistics.median(seconds)


def _networks() -> tuple[nn.Module, nn.Module]:
    config = NetworkConfig(architecture="UNet", classes=CLASSES)
    return build_network(config, seed=0), build_network(config, seed=1)


def write_volumes(folder: Path) -> list[Path]:
    """Write made-up images as NIfTI files: a bright ball in noise; the first ones have labels."""
    random = np.random.default_rng(0)
    z, y, x = np.ogrid[tuple(slice(-1, 1, size * 1j) for size in SHAPE)]
    paths = []
    for number in range(VOLUMES):
        dz, dy, dx = random.uniform(-0.3, 0.3, 3)
        ball = (z - dz) ** 2 + (y - dy) ** 2 + (x - dx) ** 2 < 0.2
        image = (100 * ball + random.normal(200, 30, SHAPE)).astype(np.int16)
        paths.append(folder / f"volume-{number}.nii.gz")
        nib.save(nib.Nifti1Image(image.T, np.eye(4)), paths[-1])
        if number < LABELED:
            nib.save(nib.Nifti1Image(ball.T.astype(np.uint8), np.eye(4)), _label_path(paths[-1]))
    return paths


def _label_path(path: Path) -> Path:
    return path.with_name(path.name.replace(".nii.gz", "-label.nii.gz"))


def _read(path: Path) -> TrainingVolume:
    """Read and normalise a volume, and its labels where it has any."""
    voxels = np.asarray(nib.load(path).dataobj, np.float32).T
    image = ((voxels - voxels.mean()) / voxels.std())[None]
    labels = _label_path(path)
    label = np.asarray(nib.load(labels).dataobj).T.astype(np.int16) if labels.exists() else None
    return TrainingVolume(path.name, image, label)


if __name__ == "__main__":
    from benchmarks.figures import report

    report(measure())
