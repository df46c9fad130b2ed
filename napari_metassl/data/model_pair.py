"""A model pair on disk: a folder of `card.json` and two safetensors files, and what it loads into.

The folder is written beside its final place and renamed, so it is there whole or not at all; the
card holds the SHA-256 of both weight files. Weights are never unpickled.
"""

from __future__ import annotations

import copy
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from napari_metassl.data.model_card import CARD_FILE, WEIGHT_FILES, ModelCard, read_card
from napari_metassl.data.weight_files import require_unchanged, sha256_of, stated_sum
from napari_metassl.errors import PairProblem
from napari_metassl.method.network_config import NetworkConfig
from napari_metassl.method.networks import build_network
from napari_metassl.method.weights import load_weights, own_tensors

# Strategies whose second prediction comes from a copy of the first network.
ONE_NETWORK_STRATEGIES = frozenset({"mean_teacher", "fixmatch", "r_drop"})


@dataclass(frozen=True, eq=False)
class ModelPair:
    """Two networks and their card.

    Attributes
    ----------
    card
        Everything about the pair but its weights.
    supervised, reference
        Map images (B, in_channels, *spatial) to logits (B, C, *spatial).
    """

    card: ModelCard
    supervised: nn.Module
    reference: nn.Module

    @property
    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Both networks, in the order supervised, reference."""
        return self.supervised, self.reference


def new_pair(card: ModelCard, seed: int = 0) -> ModelPair:
    """Make an untrained pair; the two networks start differently unless the strategy copies one.

    Raises
    ------
    PairProblem
        If a strategy with one network (Mean Teacher, FixMatch, R-Drop) is given two different.
    """
    supervised = build_network(card.supervised, seed)
    if card.strategy not in ONE_NETWORK_STRATEGIES:
        return ModelPair(card, supervised, build_network(card.reference, seed + 1))
    if card.supervised != card.reference:
        raise PairProblem(
            f"Strategy '{card.strategy}' uses one network, but the card has two different ones "
            f"({card.supervised.architecture} and {card.reference.architecture}). "
            "Give the same network and options for both, or use strategy 'cps'."
        )
    return ModelPair(card, supervised, copy.deepcopy(supervised))


def save_pair(pair: ModelPair, folder: Path) -> ModelCard:
    """Write the pair to `folder` and return its card with the SHA-256 of the weights.

    A pair already in `folder` is replaced.

    Raises
    ------
    PairProblem
        If `folder` exists and holds something else.
    """
    folder = Path(folder)
    _refuse_other_content(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _written_aside(folder) as aside:
        sums = {}
        for file, network in zip(WEIGHT_FILES, pair.networks, strict=True):
            save_file(own_tensors(network), aside / file)
            sums[file] = sha256_of(aside / file)
        card = pair.card.model_copy(update={"sha256": sums})
        card_file = aside / CARD_FILE
        card_file.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
        for file in WEIGHT_FILES:  # safetensors writes for the owner alone: as the card instead
            (aside / file).chmod(card_file.stat().st_mode & 0o777)
    return card


def load_pair(folder: Path, device: str = "cpu") -> ModelPair:
    """Load a pair, both networks in evaluation mode on `device`.

    Raises
    ------
    PairProblem
        If `folder` is not a pair, a weight file is missing, truncated or changed since it was
        saved, or its tensors do not fit the network on the card.
    """
    folder = Path(folder)
    card = read_card(folder)
    networks = [
        _load_network(folder / file, config, card).to(device).eval()
        for file, config in zip(WEIGHT_FILES, card.networks, strict=True)
    ]
    return ModelPair(card, *networks)


def _load_network(path: Path, config: NetworkConfig, card: ModelCard) -> nn.Module:
    expected_sum = stated_sum(path, card)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise PairProblem(
            f"'{path}' cannot be read as safetensors ({error}). Restore the file from a copy."
        ) from error
    network = build_network(config)
    load_weights(network, weights, f"The weights in '{path}' and the card's {config.architecture}")
    require_unchanged(path, expected_sum)
    return network


def _refuse_other_content(folder: Path) -> None:
    if folder.is_dir() and ((folder / CARD_FILE).is_file() or not any(folder.iterdir())):
        return
    if folder.exists():
        raise PairProblem(
            f"'{folder}' exists and is not a model pair, so it is not replaced. "
            "Choose a new folder name."
        )


@contextmanager
def _written_aside(folder: Path) -> Iterator[Path]:
    """Give a sibling folder to write into; when all went well it becomes `folder`."""
    token = uuid.uuid4().hex[:8]
    aside = folder.with_name(f".{folder.name}.{token}.partial")
    replaced = folder.with_name(f".{folder.name}.{token}.replaced")
    aside.mkdir()
    try:
        yield aside
        for path in (*aside.iterdir(), aside):
            _flush_to_disk(path)
        if folder.exists():
            folder.rename(replaced)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def _flush_to_disk(path: Path) -> None:
    """So that a rename never becomes visible before the content it stands for."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
