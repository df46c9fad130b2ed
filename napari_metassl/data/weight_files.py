"""Whether the weight files of a pair are those its card speaks of (torch-free)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_metassl.data.model_card import WEIGHT_FILES, ModelCard
from napari_metassl.errors import PairProblem


def require_saved_weights(folder: Path, card: ModelCard) -> None:
    """Refuse weights that are not there, or not as they were when the card was written.

    Raises
    ------
    PairProblem
        For the first file that is missing, not on the card, or truncated or changed.
    """
    for file in WEIGHT_FILES:
        require_unchanged(folder / file, stated_sum(folder / file, card))


def stated_sum(path: Path, card: ModelCard) -> str:
    """Return the SHA-256 the card gives for a weight file that is there."""
    if not path.is_file():
        raise PairProblem(f"The pair has no '{path}'. Restore the file or choose another pair.")
    if path.name not in card.sha256:
        raise PairProblem(f"The card beside '{path}' has no SHA-256 of it. Save the pair again.")
    return card.sha256[path.name]


def require_unchanged(path: Path, expected: str) -> None:
    """Refuse a file whose SHA-256 is not the expected one."""
    if sha256_of(path) != expected:
        raise PairProblem(
            f"'{path}' was changed after it was saved: its SHA-256 is not the one on the card. "
            "Restore the file from a copy."
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
