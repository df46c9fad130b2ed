"""``import``: networks made elsewhere become a pair of the project."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_metassl.cli.choosing import (
    free_pair_name,
    network_config,
    parse_normalisation,
    parse_setting,
    parse_sizes,
    parse_spacing,
)
from napari_metassl.cli.console import say
from napari_metassl.cli.options import NameOption, PatchOption, ProjectArgument
from napari_metassl.errors import PairProblem

if TYPE_CHECKING:
    from torch import nn

    from napari_metassl.data.project import Project
    from napari_metassl.method.network_config import NetworkConfig

    Imported = tuple[NetworkConfig, nn.Module]

PATCH = (64, 64, 64)


def import_pair(  # noqa: PLR0913 - options of a command
    project: ProjectArgument,
    source: Annotated[
        Path, typer.Argument(help="Pair, MONAI bundle (folders), or a PyTorch weights file.")
    ],
    second: Annotated[
        Path | None, typer.Argument(help="The other network; else the first one twice.")
    ] = None,
    *,
    architecture: Annotated[
        str | None, typer.Option(help="MONAI network that a weights file belongs to.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of that network, value as JSON."),
    ] = None,
    spacing: Annotated[
        str, typer.Option(metavar="Z,Y,X", help="In mm the networks were trained at, or 'native'.")
    ] = "native",
    normalisation: Annotated[
        str, typer.Option(help="zscore, percentile, none, or window:LOW,HIGH.")
    ] = "zscore",
    patch: PatchOption = None,
    name: NameOption = None,
) -> None:
    """Import networks made elsewhere as a pair; nothing in a file is executed."""
    from napari_metassl.data.import_pair import pair_from_networks
    from napari_metassl.data.model_card import CARD_FILE, ModelCard
    from napari_metassl.data.model_pair import save_pair
    from napari_metassl.data.project import Project
    from napari_metassl.method.network_config import fit_patch_size

    opened = Project.open(project)
    if (source / CARD_FILE).is_file():
        _use_first(opened, opened.add_pair(source, name))
        return
    options = dict(parse_setting(text) for text in network or ())
    first = _read(opened, source, architecture, options)
    other = first if second is None else _read(opened, second, architecture, options)
    asked = PATCH[-first[0].spatial_dims :] if patch is None else parse_sizes(patch, "--patch")
    card = ModelCard(
        name=free_pair_name(opened, name, "imported"),
        class_names=opened.class_names,
        class_colors=opened.class_colors,
        supervised=first[0],
        reference=other[0],
        strategy="mean_teacher" if second is None else "cps",
        spacing=_spacing(spacing),
        normalisation=parse_normalisation(normalisation),
        patch_size=fit_patch_size(asked, first[0], other[0]),
    )
    save_pair(pair_from_networks(card, first[1], other[1]), opened.pairs_folder / card.name)
    _use_first(opened, card.name)


def _read(
    project: "Project", source: Path, architecture: str | None, options: dict[str, Any]
) -> "Imported":
    """Read configuration and network of a bundle or a weights file that fits the project."""
    from napari_metassl.data.import_pair import import_monai_bundle, import_state_dict

    if source.is_dir():
        bundle = import_monai_bundle(source)
        config, made = bundle.config, bundle.network
    elif architecture is None:
        raise PairProblem(
            f"'{source}' holds weights but not the network they belong to; name it with "
            "--architecture, and its options with --network."
        )
    else:
        config = network_config(project, architecture, options, 3)
        made = import_state_dict(source, config)
    got = (config.in_channels, config.classes)
    expected = (len(project.volumes()[0].images), project.classes)
    if got != expected:
        raise PairProblem(
            f"The network of '{source}' takes {got[0]} channels and gives {got[1]} classes, but "
            f"project '{project.name}' has {expected[0]} and {expected[1]}. Make a project that "
            "fits, with --classes."
        )
    return config, made


def _spacing(text: str) -> Any:
    spacing = parse_spacing(text)
    if spacing == "auto":
        raise PairProblem("The spacing the networks were trained at is not known: give --spacing.")
    return spacing


def _use_first(project: "Project", name: str) -> None:
    """Use the project's first pair; a later one is only there to be chosen."""
    if project.file.current_pair is None:
        project.set_current_pair(name)
    in_use = project.file.current_pair == name
    then = "it is in use" if in_use else f"use it with `napari-metassl use {project.folder} {name}`"
    say(f"Pair '{name}' is in project '{project.name}'; {then}.")
