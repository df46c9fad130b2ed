"""Tables of the left atrium study, from what its cells left."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Result = dict[str, Any]
EFFECTIVE_LAMBDA = 0.3
"""Of the main tables: lambda * w_UC, chosen by the validation cases."""
BASE = {"effective_lambda": EFFECTIVE_LAMBDA, "changes": {}}
LABELED = (4, 8)
LOSSES = ("supervised", "plain", "paper", "rational")


def read_results(folder: Path) -> list[Result]:
    """Every finished cell in a folder; one file may hold many (a list)."""
    found: list[Result] = []
    for file in sorted(folder.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        found += content if isinstance(content, list) else [content]
    return found


def mean_dice(result: Result, cases: str, who: str = "pair") -> float:
    """Mean Dice over the validation or test cases of one cell."""
    return statistics.fmean(case[who] for case in result[cases].values())


def tables(results: Sequence[Result]) -> str:
    """All tables as Markdown."""
    return "\n".join(
        (*_grid(results), "", *_lambdas(results), "", *_variants(results), "", *_long(results))
    )


def _grid(results: Sequence[Result]) -> Iterator[str]:
    heads = [
        f"{what}, {n} labels" for n in LABELED for what in ("validation", "test", "test - plain")
    ]
    yield from _head("strategy", "loss", *heads, "minutes")
    alone = [_by_seed(results, BASE | {"loss": "supervised", "labeled": n}) for n in LABELED]
    figures = [[_spread(_dice(found, what, "supervised")) for what in CASES] for found in alone]
    yield _row("one network", "supervised", *(c for pair in figures for c in (*pair, "")), "")
    pairs = {(r["strategy"], r["loss"]) for r in results if r["loss"] != "equal"}
    for strategy, loss in sorted(pairs, key=lambda pair: (pair[0], LOSSES.index(pair[1]))):
        cells, minutes = [], []
        for labeled in LABELED:
            wanted = BASE | {"strategy": strategy, "labeled": labeled}
            mine = _by_seed(results, wanted | {"loss": loss})
            plain = _by_seed(results, wanted | {"loss": "plain"})
            minutes += [result["minutes"] for result in mine.values()]
            cells += [_spread(_dice(mine, what)) for what in ("validation", "test")]
            cells.append("" if loss == "plain" else _gain(mine, plain))
        yield _row(strategy, loss, *cells, f"{statistics.fmean(minutes):.1f}")


def _lambdas(results: Sequence[Result]) -> Iterator[str]:
    yield from _head("loss (CPS, 4 labels)", "lambda x w_UC", "validation", "test")
    for loss in ("plain", "paper"):
        wanted = {"strategy": "cps", "loss": loss, "labeled": 4, "changes": {}}
        tried = sorted({r["effective_lambda"] for r in results if _fits(r, wanted)})
        for value in tried:
            # the same seeds everywhere
            found = _by_seed(results, wanted | {"effective_lambda": value})
            found = {seed: result for seed, result in found.items() if seed < 2}
            yield _row(loss, f"{value:g}", *(_spread(_dice(found, w)) for w in CASES))


CASES = ("validation", "test")


def _variants(results: Sequence[Result]) -> Iterator[str]:
    yield from _head(
        f"CPS, 4 labels, lambda x w_UC = {EFFECTIVE_LAMBDA:g}", "validation", "test", "test - paper"
    )
    base = BASE | {"strategy": "cps", "labeled": 4}
    paper = _by_seed(results, base | {"loss": "paper"})
    kinds = [{"loss": loss} for loss in ("supervised", "plain", "paper", "equal")]
    changed = [{k: r[k] for k in ("loss", "changes")} for r in results if r["changes"]]
    kinds += sorted(changed, key=lambda kind: (str(kind["changes"]), kind["loss"]))
    for kind in {json.dumps(kind): kind for kind in kinds}.values():
        found = _by_seed(results, base | kind)
        if not found:
            continue
        changes = ", ".join(f"{k} {v}" for k, v in kind.get("changes", {}).items())
        name = f"{kind['loss']}, {changes}" if changes else kind["loss"]
        gain = "" if kind == {"loss": "paper"} else _gain(found, paper)
        yield _row(name, *(_spread(_dice(found, what)) for what in CASES), gain)


def _long(results: Sequence[Result]) -> Iterator[str]:
    yield from _head(
        "CPS, 4 labels, 1,200 steps, lambda x w_UC = 1", "validation", "test", "minutes"
    )
    length = {"steps": 1200, "ramp_fraction": 0.4}
    base = {"strategy": "cps", "labeled": 4, "effective_lambda": 1.0}
    kinds = [{"loss": loss, "changes": length} for loss in LOSSES]
    kinds.append({"loss": "paper", "changes": length | {"threshold_quantile": 0.1}})
    for kind in kinds:
        found = _by_seed(results, base | kind)
        minutes = [result["minutes"] for result in found.values()]
        quantile = ", threshold_quantile 0.1" if kind is kinds[-1] else ""
        cells = [_spread(_dice(found, what)) for what in CASES]
        time = f"{statistics.fmean(minutes):.1f}" if minutes else "–"
        yield _row(f"{kind['loss']}{quantile}", *cells, time)


def _fits(result: Result, wanted: dict[str, Any]) -> bool:
    return all(result[name] == value for name, value in wanted.items())


def _by_seed(results: Sequence[Result], wanted: dict[str, Any]) -> dict[int, Result]:
    return {r["seed"]: r for r in results if _fits(r, wanted)}


def _dice(by_seed: dict[int, Result], cases: str, who: str = "pair") -> list[float]:
    return [mean_dice(result, cases, who) for result in by_seed.values()]


def _gain(mine: dict[int, Result], other: dict[int, Result]) -> str:
    """Test Dice of the one minus that of the other, seed by seed."""
    return _spread(
        [
            mean_dice(mine[seed], "test") - mean_dice(other[seed], "test")
            for seed in mine.keys() & other.keys()
        ],
        sign="+",
    )


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation over seeds."""
    if not values:
        return "–"
    mean = f"{statistics.fmean(values):{sign}.3f}"
    if len(values) == 1:
        return f"{mean} (1 seed)"
    return f"{mean} ± {statistics.stdev(values):.3f}"


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield _row(*["---"] * len(names))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
