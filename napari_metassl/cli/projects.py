"""``new``, ``pairs``, ``use`` and ``jobs``: what a project holds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_metassl.cli.console import figure, print_json, print_table, progress_bar, say
from napari_metassl.cli.options import JsonOption, ProjectArgument


def new(
    project: ProjectArgument,
    *,
    images: Annotated[Path, typer.Option(help="Folder of image files or DICOM folders.")],
    labels: Annotated[Path | None, typer.Option(help="Folder of labels, named alike.")] = None,
    labeled: Annotated[
        Path | None, typer.Option(help="List file: volumes to train on, one name a line.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="List file: volumes that only measure.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Class names with commas, the background first.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name; else the folder's.")] = None,
    json: JsonOption = False,
) -> None:
    """Make a project from folders; names match by file stem.

    Volumes without a label are unlabeled. Without --labeled all that have a label, and are not
    for validation, are trained on.
    """
    from napari_metassl.data.project import Project
    from napari_metassl.data.project_creation import read_names

    with progress_bar() as bar:
        bar.add_task("Looking at the files", total=None, note="")
        made = Project.create(
            project,
            images,
            labels=labels,
            labeled=None if labeled is None else read_names(labeled),
            validation=() if validation is None else read_names(validation),
            class_names=None if classes is None else [part.strip() for part in classes.split(",")],
            name=name,
        )
    counts = {role: len(made.volumes(role)) for role in ("labeled", "validation", "unlabeled")}
    if json:
        print_json({"project": made.folder, "classes": made.class_names, "volumes": counts})
        return
    numbers = ", ".join(f"{count} {role}" for role, count in counts.items())
    say(
        f"Project '{made.name}' in {made.folder}: {numbers} volumes; "
        f"classes {', '.join(made.class_names)}."
    )


def pairs(project: ProjectArgument, json: JsonOption = False) -> None:
    """List the pairs of a project, oldest first."""
    from napari_metassl.data.project import Project

    opened = Project.open(project)
    found: list[dict[str, Any]] = [
        {
            "name": path.name,
            "current": path.name == opened.file.current_pair,
            "strategy": card.strategy,
            "networks": [config.architecture for config in card.networks],
            "parent": card.parent,
            "created": card.created,
            "validation_dice": _validation_dice(card.metrics),
        }
        for path, card in opened.pairs()
    ]
    if json:
        print_json(found)
        return
    print_table(
        f"Pairs of {opened.name}",
        ("pair", "current", "strategy", "networks", "parent", "made", "validation Dice"),
        [
            (
                pair["name"],
                "yes" if pair["current"] else "",
                pair["strategy"],
                ", ".join(pair["networks"]),
                pair["parent"] or "",
                f"{pair['created'].astimezone():%Y-%m-%d %H:%M}",
                figure(pair["validation_dice"]),
            )
            for pair in found
        ],
    )


def use(
    project: ProjectArgument,
    pair: Annotated[str, typer.Argument(help="Name in the project, or a folder to copy in.")],
) -> None:
    """Choose the pair that predicts and is fine-tuned from now on."""
    from napari_metassl.cli.choosing import choose_pair
    from napari_metassl.data.project import Project

    opened = Project.open(project)
    path = choose_pair(opened, pair)
    inside = path.parent.resolve() == opened.pairs_folder.resolve()
    name = path.name if inside else opened.add_pair(path)
    opened.set_current_pair(name)
    say(f"Project '{opened.name}' now uses pair '{name}'.")


def jobs(project: ProjectArgument, json: JsonOption = False) -> None:
    """List the jobs of a project, oldest first."""
    from napari_metassl.data.project import Project
    from napari_metassl.jobs.job import list_jobs

    opened = Project.open(project)
    found = [job.snapshot() for job in list_jobs(opened.jobs_folder)]
    if json:
        fields = ("id", "kind", "status", "step", "steps", "fraction", "message", "error")
        print_json([{field: getattr(job, field) for field in fields} for job in found])
        return
    print_table(
        f"Jobs of {opened.name}",
        ("job", "status", "step", "what"),
        [
            (
                job.id,
                str(job.status),
                f"{job.step}/{job.steps}" if job.steps else "",
                (job.error or job.message).splitlines()[0] if job.error or job.message else "",
            )
            for job in found
        ],
    )


def _validation_dice(metrics: dict[str, Any]) -> float | None:
    overall = metrics.get("validation", {}).get("overall", {})
    mean: float | None = overall.get("dice", {}).get("mean")
    return mean
