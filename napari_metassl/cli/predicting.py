"""``predict``: both networks of a pair on the volumes of a project."""

from typing import Annotated

import typer

from napari_metassl.cli.console import print_json, say
from napari_metassl.cli.options import (
    DeviceOption,
    JsonOption,
    PairOption,
    PrecisionChoice,
    PrecisionOption,
    ProjectArgument,
)


def predict(
    project: ProjectArgument,
    *,
    pair: PairOption = None,
    volume: Annotated[
        list[str] | None, typer.Option(help="Only this volume; may be given again.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Predict again what is there.")] = False,
    overlap: Annotated[float, typer.Option(min=0.0, max=0.95, help="Of the windows.")] = 0.5,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionChoice.AUTO,
    json: JsonOption = False,
) -> None:
    """Predict all volumes of a project that its current pair has not predicted yet."""
    from napari_metassl.cli.choosing import choose_pair
    from napari_metassl.cli.following import run_to_its_end
    from napari_metassl.data.project import Project
    from napari_metassl.jobs.specs import PredictSpec

    opened = Project.open(project)
    for name in volume or ():
        opened.volume(name)
    result = run_to_its_end(
        PredictSpec(
            project=opened.folder,
            pair=choose_pair(opened, pair),
            volumes=tuple(volume) if volume else None,
            force=force,
            overlap=overlap,
            device=device,
            precision=precision.value,
        )
    )
    if json:
        print_json(result)
    elif result["predicted"]:
        say(f"Look at them with `napari-metassl review {project}`.")
