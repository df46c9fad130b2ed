"""What the heterogeneous loss brings on the left atrium data: strategies, losses, labels, seeds.

    python -m benchmarks.left_atrium_study run DATA OUT --groups grid4 --workers 2
    python -m benchmarks.left_atrium_study keep OUT
    python -m benchmarks.left_atrium_study table

DATA is the folder with ``half/images``, ``half/labels``, ``train.txt`` and ``test.txt``. Every cell
is one training in a process of its own, with the same steps, patches and networks, and leaves one
JSON file in OUT. ``keep`` takes their figures over into ``benchmarks/results``, which ``table``
prints. A cell that is there or kept is not run again, so a study can be stopped at any time.

The last 8 training cases are for validation: they choose lambda and everything else. The 10 test
cases are predicted once, at the end of each cell, and choose nothing.

Losses are compared at equal *effective* lambda: lambda times the weight that a confident, unanimous
unlabeled voxel gets (w_UC = 50 in both presets, 1 in the plain form).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.left_atrium_tables import EFFECTIVE_LAMBDA, mean_dice, read_results, tables

RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "left_atrium_study.json"
VALIDATION = 8
CLASSES = 2
SEEDS = (0, 1, 2)
STRATEGIES = ("cps", "mean_teacher", "fixmatch", "cct", "r_drop")
LOSSES = ("plain", "paper", "rational")
EFFECTIVE_LAMBDAS = (0.3, 1.0, 3.0, 10.0)
NETWORK = {
    "channels": (16, 32, 64, 128),
    "strides": (2, 2, 2),
    "dropout": 0.1,  # R-Drop needs some; all others have it too
    "act": "LEAKYRELU",  # an eighth faster on a CPU than MONAI's PReLU
}
TRAINING = {
    "steps": 400,
    "patch_size": (40, 64, 64),
    "precision": "bf16-mixed",
    "ramp_fraction": 1.0,  # as the authors': the ramp lasts as long as the run
}
TRACE_EVERY = 20


@dataclass(frozen=True)
class Cell:
    """One training of the study.

    Attributes
    ----------
    loss
        ``supervised``, ``plain`` (uniform), or the heterogeneous loss with the weights ``paper``,
        ``rational`` or ``equal`` (those of the paper's UC in all regions).
    effective_lambda
        lambda * w_UC.
    changes
        Other settings of the training, by name.
    """

    strategy: str
    loss: str
    labeled: int
    seed: int
    effective_lambda: float = EFFECTIVE_LAMBDA
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Name of the cell's file."""
        changes = [f"{name}={value}" for name, value in sorted(self.changes.items())]
        parts = (self.strategy, self.loss, f"l{self.effective_lambda:g}", *changes)
        return "-".join((*parts, f"n{self.labeled}", f"s{self.seed}"))

    def settings(self) -> dict[str, Any]:
        """Fields of the ``TrainingConfig``."""
        from napari_metassl.method.training_config import RegionWeights

        if self.loss == "supervised":
            loss: dict[str, Any] = {"unlabeled_loss": "none"}
        elif self.loss == "plain":
            loss = {"unlabeled_loss": "uniform", "consistency": self.effective_lambda}
        else:
            preset = getattr(RegionWeights, "paper" if self.loss == "equal" else self.loss)
            weights, of_labeled = preset(), preset(labeled=True)
            if self.loss == "equal":
                weights, of_labeled = (RegionWeights.equal(w.uc) for w in (weights, of_labeled))
            loss = {
                "weights_unlabeled": weights,
                "weights_labeled": of_labeled,
                "consistency": self.effective_lambda / weights.uc,
            }
        common = {"strategy": self.strategy, "seed": self.seed, "validate_every": 0}
        return TRAINING | common | loss | self.changes


def cells(group: str) -> Iterator[Cell]:
    """All trainings of one part of the study."""
    if group == "lambda":
        for loss, effective, seed in product(("plain", "paper"), EFFECTIVE_LAMBDAS, SEEDS[:2]):
            yield Cell("cps", loss, 4, seed, effective)
    for labeled, seed in product((4, 8), SEEDS):
        if group == f"grid{labeled}":
            yield Cell("cps", "supervised", labeled, seed)
            yield from (Cell(s, loss, labeled, seed) for s, loss in product(STRATEGIES, LOSSES))
    variants: dict[str, list[dict[str, Any]]] = {
        "normalisation": [{"normalisation": "voxel"}],
        "threshold": [{"threshold_cap": 0.99}, {"threshold_cap": 1.0}],
        "quantile": [{"threshold_quantile": 0.1}],
    }
    for changes, seed in product(variants.get(group, ()), SEEDS):
        yield Cell("cps", "paper", 4, seed, changes=changes)
    if group == "further":
        chosen: list[tuple[str, dict[str, Any]]] = [
            ("rational", {"threshold_quantile": 0.1}),
            ("paper", {"threshold_quantile": 0.2}),
            ("rational", {"normalisation": "voxel"}),
            ("paper", {"threshold_quantile": 0.05}),
        ]
        for (loss, changes), seed in product(chosen, SEEDS):
            yield Cell("cps", loss, 4, seed, changes=changes)
    if group == "long":  # as long as `napari-metassl train`, with its lambda and its ramp
        length = {"steps": 1200, "ramp_fraction": 0.4}
        for loss, seed in product(("rational", "paper", "plain", "supervised"), SEEDS[:2]):
            yield Cell("cps", loss, 4, seed, 1.0, length)
        for seed in SEEDS[:2]:
            yield Cell("cps", "paper", 4, seed, 1.0, length | {"threshold_quantile": 0.1})
    if group == "equal":
        yield from (Cell("cps", "equal", 4, seed) for seed in SEEDS)


VARIANTS = ("threshold", "normalisation", "quantile", "equal", "further")
GROUPS = ("lambda", "grid4", *VARIANTS, "long", "grid8")


def run_cell(cell: Cell, data: Path, out: Path) -> dict[str, Any]:
    """Train and measure one cell, on one thread; write and return what came out."""
    import torch

    from napari_metassl.method.network_config import NetworkConfig
    from napari_metassl.method.networks import build_network
    from napari_metassl.method.trainer import Trainer
    from napari_metassl.method.training_config import TrainingConfig

    torch.set_num_threads(1)
    train = (data / "train.txt").read_text(encoding="utf-8").split()
    test = (data / "test.txt").read_text(encoding="utf-8").split()
    labeled = set(train[: cell.labeled])
    volumes = [read_case(data, name, name in labeled) for name in train[:-VALIDATION]]
    network = NetworkConfig(
        architecture="UNet", spatial_dims=3, in_channels=1, classes=CLASSES, options=NETWORK
    )
    first = build_network(network, 2 * cell.seed)
    second = build_network(network, 2 * cell.seed + 1) if cell.strategy in ("cps", "cct") else None
    config = TrainingConfig(**cell.settings())
    trainer = Trainer((first, second), volumes, config, classes=CLASSES)
    began, trace = time.process_time(), []
    for report in trainer.steps():
        if report.step % TRACE_EVERY == 0:
            kept = {"step": report.step, "thresholds": report.thresholds, "shares": report.shares}
            trace.append(kept | {"losses": report.losses})
    minutes = (time.process_time() - began) / 60
    pair = (trainer.supervised, trainer.reference)
    found = {
        what: {name: _dice(pair, read_case(data, name, True), config) for name in names}
        for what, names in (("validation", train[-VALIDATION:]), ("test", test))
    }
    torch.save([network.state_dict() for network in pair], out / f"{cell.key}.pt")
    result = asdict(cell) | {"minutes": minutes, "trace": trace} | found
    aside = out / f"{cell.key}.part"
    aside.write_text(json.dumps(result), encoding="utf-8")
    aside.rename(out / f"{cell.key}.json")
    return result


def read_case(data: Path, name: str, labeled: bool) -> Any:
    import numpy as np

    from napari_metassl.data.volume_io import read_labels, read_volume
    from napari_metassl.method.training_volume import TrainingVolume

    file = f"{name}.nii.gz"
    image = read_volume(data / "half" / "images" / file).data.astype(np.float32)
    image = (image - image.mean()) / image.std()
    label = read_labels(data / "half" / "labels" / file).data.astype(np.int16) if labeled else None
    return TrainingVolume(name, image[None], label)


def _dice(pair: tuple[Any, Any], volume: Any, config: Any) -> dict[str, float]:
    """Dice of the pair's answer and of each network alone."""
    from napari_metassl.method.inference import predict_pair
    from napari_metassl.method.validation import dice_per_class, more_confident

    networks = list(dict.fromkeys(pair))
    labels, levels = predict_pair(networks, volume.image, patch_size=config.patch_size)
    merged = more_confident(labels, levels)
    answers = {"pair": merged, "supervised": labels[0], "reference": labels[-1]}
    return {who: dice_per_class(answer, volume, CLASSES)[0] for who, answer in answers.items()}


def run(data: Path, out: Path, groups: list[str], workers: int) -> None:
    """Run every cell of the groups that is not in OUT yet."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = {cell.key: cell for group in groups for cell in cells(group)}
    known = {_key(result) for folder in (out, RESULTS) for result in read_results(folder)}
    todo = [cell for key, cell in wanted.items() if key not in known]
    print(f"{len(wanted) - len(todo)} cells are there, {len(todo)} to run", flush=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, fresh, max_tasks_per_child=1) as pool:
        running = {pool.submit(run_cell, cell, data, out): cell for cell in todo}
        for done in as_completed(running):
            result = done.result()
            dice = [mean_dice(result, what) for what in ("validation", "test")]
            figures = f"validation {dice[0]:.3f}, test {dice[1]:.3f}, {result['minutes']:.1f} min"
            print(f"{running[done].key}: {figures}", flush=True)


def keep(out: Path) -> None:
    """Take the figures of all cells in OUT over into the kept ones; no networks, no images."""
    kept = {_key(result): result for result in read_results(RESULTS)}
    for result in read_results(out):
        end = {name: result["trace"][-1][name] for name in ("thresholds", "shares")}
        short = {name: value for name, value in result.items() if name != "trace"} | {"end": end}
        kept[_key(result)] = json.loads(json.dumps(short), parse_float=lambda x: round(float(x), 5))
    lines = [json.dumps(kept[key]) for key in sorted(kept)]
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _key(result: dict[str, Any]) -> str:
    return Cell(**{one.name: result[one.name] for one in fields(Cell)}).key


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="train the cells that are missing")
    command.add_argument("data", type=Path)
    command.add_argument("out", type=Path)
    command.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    command.add_argument("--workers", type=int, default=2)
    command = commands.add_parser("keep", help="take the figures over into the kept ones")
    command.add_argument("out", type=Path)
    command = commands.add_parser("table", help="print what is kept as Markdown")
    arguments = parser.parse_args()
    if arguments.command == "run":
        run(arguments.data, arguments.out, arguments.groups, arguments.workers)
    elif arguments.command == "keep":
        keep(arguments.out)
    else:
        print(tables(read_results(RESULTS)))


if __name__ == "__main__":
    main()
