"""What a benchmark says: one figure, ours against a baseline measured in the same run."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

OUT = Path(__file__).parent / "out" / "bench.json"


@dataclass(frozen=True)
class Figure:
    """One line of the table; `ratio` is baseline over ours, so above 1 is better than it."""

    name: str
    ours: float
    baseline: float
    unit: str
    note: str

    @property
    def ratio(self) -> float:
        """How many times less ours needs than the baseline."""
        return self.baseline / self.ours


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
    rows = [asdict(figure) | {"ratio": figure.ratio} for figure in figures]
    OUT.write_text(json.dumps(rows, indent=1), encoding="utf-8")
