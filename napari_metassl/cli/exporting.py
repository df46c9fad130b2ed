"""``export``: what is handed on."""

from pathlib import Path
from typing import Annotated

import typer

from napari_metassl.cli.console import complain, print_json, progress_bar, say
from napari_metassl.cli.options import JsonOption, ProjectArgument
from napari_metassl.data.export_request import ExportFormat, ExportRequest, Untouched


def export(  # noqa: PLR0913 - one parameter per option
    project: ProjectArgument,
    *,
    to: Annotated[Path | None, typer.Option(help="Folder; else the project's exports.")] = None,
    file_format: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            help="seg.nrrd has the class names and colours for 3D Slicer; nnunet is a data set "
            "of all volumes.",
        ),
    ] = ExportFormat.NII_GZ,
    volume: Annotated[
        list[str] | None, typer.Option(help="Only this volume; may be given again.")
    ] = None,
    provenance: Annotated[
        bool, typer.Option(help="A second volume: predicted 0, confirmed 1, corrected 2, manual 3.")
    ] = True,
    report: Annotated[
        bool, typer.Option(help="Sizes, changes and edits of each volume, as JSON and a page.")
    ] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Replace files that exist.")] = False,
    untouched: Annotated[
        Untouched, typer.Option(help="nnunet: label of what nobody touched in corrected volumes.")
    ] = Untouched.IGNORE,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="nnunet: name of a channel, such as CT; again for each."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write segmentations with the corrections in them, and where each voxel comes from."""
    from napari_metassl.data.export import export as export_volumes
    from napari_metassl.data.project import Project

    opened = Project.open(project)
    request = ExportRequest(
        folder=(opened.exports_folder if to is None else to).expanduser().absolute(),
        format=file_format,
        volumes=tuple(volume or ()),
        provenance=provenance,
        report=report,
        replace=replace,
        untouched=untouched,
        channels=tuple(channel or ()),
    )
    with progress_bar() as bar:
        task = bar.add_task("Exporting", total=1.0, note="")
        done = export_volumes(
            opened, request, lambda name, share: bar.update(task, completed=share, note=name)
        )
    for sentence in done.left_out:
        complain(sentence)
    if json:
        print_json({"written": list(done.written), "not_exported": len(done.left_out)})
        return
    say(f"Wrote {len(done.written)} files to {done.folder}.")
