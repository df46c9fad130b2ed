"""``evaluate``: a pair against labels, without a project."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_metassl.cli.console import complain, figure, print_json, print_table, progress_bar
from napari_metassl.cli.options import (
    DeviceOption,
    JsonOption,
    PrecisionChoice,
    PrecisionOption,
)

if TYPE_CHECKING:
    from napari_metassl.jobs.evaluate import Evaluation


def evaluate(
    *,
    pair: Annotated[Path, typer.Option(help="Folder of the pair.")],
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    labels: Annotated[Path, typer.Option(help="Folder of labels, named alike.")],
    overlap: Annotated[float, typer.Option(min=0.0, max=0.95, help="Of the windows.")] = 0.5,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionChoice.AUTO,
    json: JsonOption = False,
) -> None:
    """Measure a pair's merged answer: Dice, HD95 and average surface distance in mm."""
    from napari_metassl.jobs.evaluate import evaluate_folder

    with progress_bar() as bar:
        task = bar.add_task("Starting", total=1.0, note="")
        found = evaluate_folder(
            pair,
            images,
            labels,
            overlap=overlap,
            device=device,
            precision=precision.value,
            look=lambda name, share: bar.update(
                task, description=f"Evaluating {name}", completed=share
            ),
        )
    if found.without_label:
        complain(f"{len(found.without_label)} images have no label and are left out.")
    if json:
        print_json(found.to_json())
    else:
        _print(found)


def _print(found: "Evaluation") -> None:
    content = found.to_json()
    rows = [
        (case["name"], name, *_figures(scores["dice"], scores["hd95"], scores["asd"]))
        for case in content["cases"]
        for name, scores in case["classes"].items()
    ]
    summary = {**content["summary"]["classes"], "mean of classes": content["summary"]["overall"]}
    for what in ("mean", "spread"):
        rows += [
            (what, name, *_figures(*(metrics[m][what] for m in ("dice", "hd95", "asd"))))
            for name, metrics in summary.items()
        ]
    print_table(
        f"Pair {content['pair']} on {len(content['cases'])} cases",
        ("case", "class", "Dice", "HD95 mm", "ASD mm"),
        rows,
    )


def _figures(dice: float | None, hd95: float | None, asd: float | None) -> tuple[str, str, str]:
    return figure(dice), figure(hd95, 2), figure(asd, 2)
