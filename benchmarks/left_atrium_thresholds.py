"""What a threshold tells about errors: the adaptive one, with a higher cap, calibrated, a quantile.

    python -m benchmarks.left_atrium_thresholds DATA OUT

OUT is a folder of the study (``left_atrium_study run``). The pairs in it predict the 8 validation
cases; each network is the reference once. A temperature is fitted on one half of the cases and
used on the other, and the other way round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.left_atrium_study import CLASSES, NETWORK, VALIDATION, read_case
from napari_metassl.method.confidence import level_to_confidence
from napari_metassl.method.inference import predict_pair
from napari_metassl.method.network_config import NetworkConfig
from napari_metassl.method.networks import build_network

Floats = npt.NDArray[np.float64]
PATCH = (40, 64, 64)
PATTERN = "cps-paper-l0.3-n4-s?.pt"
TEMPERATURES = np.geomspace(0.5, 8.0, 81)
BINS = 15


@dataclass(frozen=True, eq=False)
class Answer:
    """One network's answer for one case, flat.

    Attributes
    ----------
    label
        Predicted class of every voxel.
    confidence
        Its softmax probability.
    wrong
        Where it is not the manual label.
    """

    label: npt.NDArray[np.uint8]
    confidence: Floats
    wrong: npt.NDArray[np.bool_]


Rule = Callable[[Sequence[Answer], Answer], Floats]
"""Thresholds (C,) for a case, given the cases that may be learned from."""


def mean_confidence(cap: float, temperature: bool = False) -> Rule:
    """Give the adaptive rule: the mean confidence of each class of the case, at most the cap."""

    def rule(known: Sequence[Answer], case: Answer) -> Floats:
        fitted = fit_temperature(known) if temperature else 1.0
        confidence = calibrated(case.confidence, fitted)
        means = [confidence[case.label == k].mean() for k in range(CLASSES)]
        # back to the network's own scale, so that all rules can be compared on it
        return calibrated(np.minimum(means, cap), 1.0 / fitted)

    return rule


def quantile(part: float) -> Rule:
    """Give the rule that makes this part of each class suspicious."""

    def rule(_known: Sequence[Answer], case: Answer) -> Floats:
        return np.array(
            [np.quantile(case.confidence[case.label == k], part) for k in range(CLASSES)]
        )

    return rule


RULES: dict[str, Rule] = {
    "mean, cap 0.9 (paper)": mean_confidence(0.9),
    "mean, cap 0.99": mean_confidence(0.99),
    "mean, no cap": mean_confidence(1.0),
    "mean, temperature, cap 0.9": mean_confidence(0.9, temperature=True),
    "quantile 0.05": quantile(0.05),
    "quantile 0.1": quantile(0.1),
    "quantile 0.2": quantile(0.2),
}


def calibrated(confidence: Floats, temperature: float) -> Floats:
    """Confidence of two classes after dividing the logits by a temperature."""
    c = np.clip(confidence, 1e-7, 1 - 1e-7)
    return np.asarray(1.0 / (1.0 + np.exp(-np.log(c / (1 - c)) / temperature)))


def fit_temperature(answers: Sequence[Answer]) -> float:
    """Temperature with the least cross-entropy (Guo et al., On Calibration, ICML 2017)."""
    confidence = np.concatenate([answer.confidence for answer in answers])
    wrong = np.concatenate([answer.wrong for answer in answers])

    def cost(temperature: float) -> float:
        sure = calibrated(confidence, temperature)
        return float(-np.log(np.where(wrong, 1 - sure, sure)).mean())

    return float(min(TEMPERATURES, key=cost))


def calibration_error(answers: Sequence[Answer], temperature: float) -> float:
    """Return the expected calibration error over equal bins of confidence."""
    confidence = calibrated(np.concatenate([a.confidence for a in answers]), temperature)
    right = ~np.concatenate([answer.wrong for answer in answers])
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    size = np.bincount(bins, minlength=BINS)
    gap = np.bincount(bins, confidence, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gap)[size > 0].sum() / size.sum())


def answers_of(file: Path, data: Path) -> list[list[Answer]]:
    """Answers of both networks of a pair for every validation case."""
    config = NetworkConfig(
        architecture="UNet", spatial_dims=3, in_channels=1, classes=CLASSES, options=NETWORK
    )
    networks = [build_network(config, 0), build_network(config, 1)]
    for network, weights in zip(networks, torch.load(file, weights_only=True), strict=True):
        network.load_state_dict(weights)
    names = (data / "train.txt").read_text(encoding="utf-8").split()[-VALIDATION:]
    found: list[list[Answer]] = [[], []]
    for name in names:
        volume = read_case(data, name, True)
        labels, levels = predict_pair(networks, volume.image, patch_size=PATCH)
        for own, label, level in zip(found, labels, levels, strict=True):
            confidence = level_to_confidence(level).astype(np.float64).ravel()
            own.append(Answer(label.ravel(), confidence, label.ravel() != volume.label.ravel()))
    return found


def measures(rule: Rule, answers: Sequence[Answer]) -> Iterator[tuple[float, ...]]:
    """Thresholds, suspicious share, errors among both kinds and share of errors found, by case."""
    half = len(answers) // 2
    for number, case in enumerate(answers):
        known = answers[half:] if number < half else answers[:half]
        thresholds = rule(known, case)
        suspicious = case.confidence <= thresholds[case.label]
        yield (
            *thresholds,
            suspicious.mean(),
            case.wrong[suspicious].mean() if suspicious.any() else np.nan,
            case.wrong[~suspicious].mean() if not suspicious.all() else np.nan,
            case.wrong[suspicious].sum() / case.wrong.sum(),
        )


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", default=PATTERN, help="file names, with * and ?")
    arguments = parser.parse_args()
    files = sorted(arguments.out.glob(arguments.pairs))
    networks = [own for file in files for own in answers_of(file, arguments.data)]
    fits = [fit_temperature(own) for own in networks]
    errors = [
        (calibration_error(own, 1.0), calibration_error(own, t))
        for own, t in zip(networks, fits, strict=True)
    ]
    print(f"{len(files)} pairs, temperature {np.mean(fits):.2f} ± {np.std(fits):.2f}, ")
    print("calibration error {:.4f}, at that temperature {:.4f}\n".format(*np.mean(errors, axis=0)))
    heads = ["threshold of background", "of foreground", "suspicious", "wrong among suspicious"]
    heads += ["wrong among confident", "errors found"]
    print(f"| rule | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, rule in RULES.items():
        table = np.array([row for own in networks for row in measures(rule, own)])
        cells = [f"{value:.4f}" for value in np.nanmean(table[:, :2], axis=0)]
        cells += [f"{100 * value:.2f} %" for value in np.nanmean(table[:, 2:], axis=0)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
