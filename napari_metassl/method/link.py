"""Which prediction learns from which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_metassl.errors import MetaSSLError


@dataclass(frozen=True)
class Link:
    """One prediction that learns, and the prediction whose labels it learns from.

    Attributes
    ----------
    prediction, reference
        Their numbers in the order of the logits, from 0. ``reference`` None: it learns from
        manual labels only.

    Raises
    ------
    MetaSSLError
        If the numbers are the same, negative or no whole numbers.
    """

    prediction: int
    reference: int | None

    def __post_init__(self) -> None:
        given: list[Any] = [self.prediction]
        given += [] if self.reference is None else [self.reference]
        whole = all(isinstance(number, int | np.integer) and number >= 0 for number in given)
        if not whole or len(set(given)) < len(given):
            raise MetaSSLError(
                f"{self} is no link, expected the numbers of two different predictions, from 0. "
                "Use Link(0, 1) where the second prediction teaches the first."
            )


SYMMETRIC = (Link(0, 1), Link(1, 0))
"""Two predictions that teach each other (CPS, R-Drop)."""
ONE_SIDED = (Link(0, 1),)
"""The second prediction teaches the first (Mean Teacher, FixMatch)."""


def check_links(links: Any, predictions: int) -> None:
    """Raise unless there are links, and all are between the ``predictions`` there are.

    Raises
    ------
    MetaSSLError
        With what was given instead.
    """
    if not isinstance(links, Sequence) or not all(isinstance(link, Link) for link in links):
        raise MetaSSLError(
            f"Links are {links!r}, expected a sequence of Link. Write links=(Link(0, 1),)."
        )
    if not links:
        raise MetaSSLError(
            "There are no links, expected at least one. Use SYMMETRIC, ONE_SIDED or links of your "
            "own."
        )
    for link in links:
        if max(link.prediction, link.reference or 0) >= predictions:
            raise MetaSSLError(
                f"{link} is beyond the last prediction, expected numbers from 0 to "
                f"{predictions - 1}. Change the link, or make the loss with more predictions."
            )
