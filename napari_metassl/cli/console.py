"""What the person reads: results on stdout, all else on stderr."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


def complain(sentence: str) -> None:
    """Say what is wrong, or what happened beside the result, on stderr."""
    print(sentence, file=sys.stderr)


def say(sentence: str) -> None:
    """Print a line of the result on stdout."""
    print(sentence)


def print_json(content: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print strict JSON on stdout; undefined figures are null."""
    from napari_metassl.jobs.json_file import to_json

    print(to_json(content, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout, columns of figures set to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        are_figures = all(_is_figure(row[number]) for row in rows)
        table.add_column(column, justify="right" if are_figures else "left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    # in a file or a pipe there is no width to keep to
    console.print(table, markup=False) if console.is_terminal else _wide().print(table)


def figure(value: float | None, digits: int = 3) -> str:
    """Write a figure; a dash when it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


@contextmanager
def progress_bar() -> Iterator["Progress"]:
    """Show a progress bar on stderr while the block runs; nothing when it is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    shown = Progress(*columns, console=console, disable=not console.is_terminal)
    with shown:
        yield shown


def _is_figure(text: str) -> bool:
    return not text.strip("–+-0123456789./")


def _wide() -> "Console":
    from rich.console import Console

    return Console(width=200)


def parse_json_value(text: str) -> Any:
    """Read a value given as JSON; what is not JSON is a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text
