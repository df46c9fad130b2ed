"""What a benchmark says: one figure, ours against a baseline measured in the same run."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

OUT = Path(__file__).parent / "out" / "bench.json"


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    better
        Whether less (a time, an amount of memory) or more (a rate) is better.
    """

    name: str
    ours: float
    baseline: float
    unit: str
    note: str
    better: Literal["less", "more"] = "less"

    @property
    def ratio(self) -> float:
        """How many times better ours is than the baseline: above 1 is better."""
        if self.better == "more":
            return self.ours / self.baseline
        return self.baseline / self.ours

    def as_row(self) -> dict[str, str | float]:
        """Return what ``bench.json`` keeps of it."""
        row = asdict(self) | {"ratio": self.ratio}
        del row["better"]  # the ratio says it already
        return row


def median_ms(action: Callable[[], object], repeats: int = 5) -> float:
    """Median wall time of `action` in ms, after one call that is not counted."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def report(figures: Sequence[Figure]) -> None:
    """Print the table and write ``benchmarks/out/bench.json``."""
    table = Table("what", "ours", "baseline", "ratio", "note")
    for figure in figures:
        ours, baseline = (f"{value:,.3g} {figure.unit}" for value in (figure.ours, figure.baseline))
        table.add_row(figure.name, ours, baseline, f"{figure.ratio:,.1f}", figure.note)
    Console().print(table)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps([figure.as_row() for figure in figures], indent=1), encoding="utf-8")
