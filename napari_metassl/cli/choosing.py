"""From what a person types to a pair, a list of numbers, a free name."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_metassl.cli.console import parse_json_value
from napari_metassl.errors import MetaSSLError, PairProblem

if TYPE_CHECKING:
    from napari_metassl.data.project import Project
    from napari_metassl.method.network_config import NetworkConfig


def choose_pair(project: "Project", asked: str | None) -> Path:
    """Folder of the pair asked for by name in the project or by folder; else the current one.

    Raises
    ------
    PairProblem
        When there is none such.
    """
    if asked is None:
        current = project.pair_path()
        if current is None:
            raise PairProblem(
                f"Project '{project.name}' has no current pair; make one with `napari-metassl "
                f"train {project.folder}`, or choose one with --pair."
            )
        return current
    names = [path.name for path, _ in project.pairs()]
    if asked in names:
        return project.pairs_folder / asked
    if Path(asked).is_dir():
        return Path(asked)
    known = f"it has {', '.join(names)}" if names else "it has none yet"
    raise PairProblem(
        f"'{asked}' is no pair of project '{project.name}' ({known}) and no folder; "
        "give the name of a pair or its folder."
    )


def free_pair_name(project: "Project", asked: str | None, stem: str) -> str:
    """Name asked for if it is not taken, else the first free ``stem-N``.

    Raises
    ------
    PairProblem
        When the name asked for is taken.
    """
    if asked is not None:
        if (project.pairs_folder / asked).exists():
            raise PairProblem(
                f"Project '{project.name}' already has a pair '{asked}'; give another --name."
            )
        return asked
    number = 1
    while (project.pairs_folder / f"{stem}-{number}").exists():
        number += 1
    return f"{stem}-{number}"


def parse_numbers(text: str, what: str) -> tuple[float, ...]:
    """Numbers from "40,64,64".

    Raises
    ------
    MetaSSLError
        When something else is written there.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise MetaSSLError(
            f"Got '{text}' for {what}, expected numbers with commas between them, such as 40,64,64."
        ) from None


def parse_sizes(text: str, what: str) -> tuple[int, ...]:
    """Whole numbers from "40,64,64"."""
    numbers = parse_numbers(text, what)
    if any(number != int(number) for number in numbers):
        raise MetaSSLError(f"Got '{text}' for {what}, expected whole numbers such as 40,64,64.")
    return tuple(int(number) for number in numbers)


def parse_setting(text: str) -> tuple[str, Any]:
    """Name and JSON value from "NAME=VALUE"."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"Got '{text}', expected NAME=VALUE.")
    return name.strip().replace("-", "_"), parse_json_value(value)


def network_config(
    project: "Project", architecture: str, options: dict[str, Any], dims: int
) -> "NetworkConfig":
    """Make the configuration of a network that fits a project's channels and classes."""
    from napari_metassl.method.network_config import NetworkConfig

    return NetworkConfig(
        architecture=architecture,
        spatial_dims=3 if dims == 3 else 2,
        in_channels=len(project.volumes()[0].images),
        classes=project.classes,
        options=options,
    )


def parse_spacing(text: str) -> Any:
    """Spacing (z, y, x) in mm from a text; "auto" stays, "native" is None."""
    if text in {"auto", "native"}:
        return None if text == "native" else "auto"
    return parse_numbers(text, "--spacing")


def parse_normalisation(text: str) -> Any:
    """Normalisation from "zscore", "percentile:1,99", "window:-100,300" or "none"."""
    from napari_metassl.data.model_card import Normalisation

    kind, _, bounds = text.partition(":")
    numbers = parse_numbers(bounds, "--normalisation") if bounds else (None, None)
    if len(numbers) != 2:
        raise MetaSSLError(f"Got '{text}' for --normalisation, expected such as window:-100,300.")
    return Normalisation(kind=kind, low=numbers[0], high=numbers[1])
