"""Check the MetaSSL loss against recorded expectations: ``check_vectors.py DIR``.

Every ``.npz`` in DIR holds the inputs of one cross-pseudo-supervision step and what it should
give: thresholds, regions, every term of the loss, the total and both gradients. Prints the
largest relative error of each quantity and exits with 1 if one is above 1e-4.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from napari_metassl.errors import MetaSSLError
from napari_metassl.method.losses import MetaSSLLoss
from napari_metassl.method.training_config import LossConfig, RegionWeights

TOLERANCE = 1e-4
NETWORKS = ("a", "b")
Arrays = dict[str, npt.NDArray[np.generic]]


def check_folder(folder: Path) -> dict[str, dict[str, float]]:
    """Relative error of every quantity, by file name and quantity."""
    files = sorted(folder.glob("*.npz"))
    if not files:
        raise MetaSSLError(f"No .npz in {folder}, expected recorded steps. Name another folder.")
    return {file.name: check_file(file) for file in files}


def check_file(file: Path) -> dict[str, float]:
    """Relative error of every quantity of one recorded step."""
    with np.load(file) as archive:
        expected: Arrays = {name: archive[name] for name in archive.files}
    got = compute(expected)
    return {name: relative_error(value, expected[name]) for name, value in got.items()}


def compute(inputs: Arrays) -> Arrays:
    """Compute everything the file records from the file's inputs."""
    logits = [torch.from_numpy(inputs[f"logits_{n}"]).requires_grad_() for n in NETWORKS]
    labeled = int(inputs["n_labeled"])
    label = torch.from_numpy(inputs["label"]).clone()
    label[labeled:] = -1
    loss = MetaSSLLoss(classes=logits[0].shape[1], config=loss_config(inputs))
    terms = loss(logits, label, consistency=float(inputs["consistency_weight"]))
    torch.autograd.backward(terms.total)
    got: Arrays = {
        "hetero_unlabeled_b_teaches_a": np.array(terms.hetero_unlabeled[0]),
        "hetero_unlabeled_a_teaches_b": np.array(terms.hetero_unlabeled[1]),
        "total": terms.total.detach().numpy(),
    }
    for i, n in enumerate(NETWORKS):
        unlabeled, of_labeled = loss.thresholds.stored[i].numpy()
        got[f"threshold_{n}_unlabeled"], got[f"threshold_{n}_labeled"] = unlabeled, of_labeled
        # labeled voxels are split by the learner's own confidence, the others by its teacher's
        got[f"region_{n}_labeled"] = terms.regions[i][:labeled].numpy()
        got[f"region_{n}_unlabeled"] = terms.regions[1 - i][labeled:].numpy()
        got[f"hetero_labeled_{n}"] = np.array(terms.hetero_labeled[i])
        got[f"supervised_{n}"] = np.array(terms.supervised[i])
        gradient = logits[i].grad
        assert gradient is not None
        got[f"grad_{n}"] = gradient.numpy()
    return got


def loss_config(inputs: Arrays) -> LossConfig:
    """Build the configuration a file was recorded with."""
    return LossConfig(
        weights_unlabeled=RegionWeights.from_values(inputs["weights_unlabeled"].tolist()),
        weights_labeled=RegionWeights.from_values(inputs["weights_labeled"].tolist()),
        threshold_start=float(inputs["threshold_init"]),
        threshold_momentum=float(inputs["momentum"]),
        threshold_cap=float(inputs["threshold_cap"]),
    )


def relative_error(got: npt.NDArray[np.generic], expected: npt.NDArray[np.generic]) -> float:
    """Largest difference by the largest expected value; for regions the part that differs."""
    if got.shape != expected.shape:
        return float("inf")
    if expected.dtype == np.uint8:
        return float(np.mean(got != expected)) if expected.size else 0.0
    difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    if not difference.size:
        return 0.0
    largest = float(np.abs(expected.astype(np.float64)).max())
    error = float(difference.max()) / max(largest, 1e-12)
    return error if np.isfinite(error) else float("inf")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("Usage: python benchmarks/check_vectors.py DIR", file=sys.stderr)
        return 2
    try:
        errors = check_folder(Path(arguments[0]))
    except MetaSSLError as problem:
        print(problem, file=sys.stderr)
        return 1
    quantities = list(dict.fromkeys(name for one in errors.values() for name in one))
    worst = 0.0
    for name in quantities:
        error, file = max((one[name], file) for file, one in errors.items() if name in one)
        worst = max(worst, error)
        print(f"{name:32s} {error:9.2e}  {file}{'' if error <= TOLERANCE else '  TOO LARGE'}")
    passed = worst <= TOLERANCE
    print(f"{len(errors)} file(s): {'all' if passed else 'NOT all'} within {TOLERANCE:g}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
