"""Run every speed benchmark: ``make bench`` or ``python -m benchmarks.run_all [NAME ...]``."""

import sys

from benchmarks import edits, loss, sites, slider, training, window
from benchmarks.figures import Figure, report

BENCHMARKS = {
    "slider": slider.measure,
    "sites": sites.measure,
    "edits": edits.measure,
    "window": window.measure,
    "loss": loss.measure,
    "training": training.measure,
}


def main(names: list[str]) -> None:
    """Run the benchmarks named, or all of them."""
    figures: list[Figure] = []
    for name in names or BENCHMARKS:
        figures += BENCHMARKS[name]()
    report(figures)


if __name__ == "__main__":
    main(sys.argv[1:])
