"""``train`` and ``fine-tune``: a new pair for a project."""

from typing import TYPE_CHECKING, Any

import typer

from napari_metassl.cli.choosing import (
    choose_pair,
    free_pair_name,
    network_config,
    parse_normalisation,
    parse_setting,
    parse_sizes,
    parse_spacing,
)
from napari_metassl.cli.console import figure, print_json, print_table, say
from napari_metassl.cli.options import (
    ArchitectureOption,
    DeviceOption,
    JsonOption,
    LearningRateOption,
    MinutesOption,
    NameOption,
    NetworkOption,
    NormalisationOption,
    PairOption,
    ParentStrategyOption,
    PatchOption,
    PrecisionChoice,
    PrecisionOption,
    ProjectArgument,
    SecondOption,
    SeedOption,
    SetOption,
    SpacingOption,
    StepsOption,
    StrategyChoice,
    StrategyOption,
    ValidateOption,
    WeightsChoice,
    WeightsOption,
)
from napari_metassl.errors import MetaSSLError

if TYPE_CHECKING:
    from napari_metassl.data.project import Project
    from napari_metassl.method.training_config import TrainingConfig


def train(  # noqa: PLR0913 - options of a command
    project: ProjectArgument,
    *,
    strategy: StrategyOption = StrategyChoice.CPS,
    architecture: ArchitectureOption = "UNet",
    second: SecondOption = None,
    network: NetworkOption = None,
    spacing: SpacingOption = "auto",
    normalisation: NormalisationOption = "zscore",
    steps: StepsOption = None,
    minutes: MinutesOption = None,
    patch: PatchOption = None,
    weights: WeightsOption = None,
    learning_rate: LearningRateOption = None,
    validate_every: ValidateOption = None,
    setting: SetOption = None,
    seed: SeedOption = 0,
    name: NameOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionChoice.AUTO,
    json: JsonOption = False,
) -> None:
    """Train a new pair on the labeled volumes, the corrections and all unlabeled volumes."""
    from napari_metassl.data.project import Project
    from napari_metassl.jobs.specs import FineTuneSpec
    from napari_metassl.method.training_config import TrainingConfig

    opened = Project.open(project)
    changes = _changes(
        strategy=strategy.replace("-", "_"),
        steps=_steps(steps, minutes),
        patch_size=None if patch is None else parse_sizes(patch, "--patch"),
        learning_rate=learning_rate,
        validate_every=validate_every,
        seed=seed,
        device=device,
        precision=precision.value,
    )
    training = _training_config(TrainingConfig.from_scratch, changes, weights, setting)
    options = dict(parse_setting(text) for text in network or ())
    first = network_config(opened, architecture, options, training.spatial_dims)
    other = first if second is None else network_config(opened, second, {}, training.spatial_dims)
    spec = FineTuneSpec(
        project=opened.folder,
        networks=(first, other),
        training=training,
        spacing=parse_spacing(spacing),
        normalisation=parse_normalisation(normalisation),
        name=free_pair_name(opened, name, training.strategy.replace("_", "-")),
        minutes=minutes,
    )
    _run(opened, spec, json)


def fine_tune(  # noqa: PLR0913 - options of a command
    project: ProjectArgument,
    *,
    pair: PairOption = None,
    strategy: ParentStrategyOption = None,
    steps: StepsOption = None,
    minutes: MinutesOption = None,
    patch: PatchOption = None,
    weights: WeightsOption = None,
    learning_rate: LearningRateOption = None,
    validate_every: ValidateOption = None,
    setting: SetOption = None,
    seed: SeedOption = 0,
    name: NameOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = PrecisionChoice.AUTO,
    json: JsonOption = False,
) -> None:
    """Train the current pair further on what was corrected; the result is offered, not used.

    It is compared with the old pair on the validation volumes; take it with `use`.
    """
    from napari_metassl.data.model_card import read_card
    from napari_metassl.data.project import Project
    from napari_metassl.jobs.specs import FineTuneSpec
    from napari_metassl.method.training_config import TrainingConfig

    opened = Project.open(project)
    parent = choose_pair(opened, pair)
    card = read_card(parent)
    changes = _changes(
        strategy=_known_strategy(card.strategy) if strategy is None else strategy.replace("-", "_"),
        steps=_steps(steps, minutes),
        patch_size=card.patch_size if patch is None else parse_sizes(patch, "--patch"),
        learning_rate=learning_rate,
        validate_every=validate_every,
        seed=seed,
        device=device,
        precision=precision.value,
    )
    spec = FineTuneSpec(
        project=opened.folder,
        parent=parent,
        training=_training_config(TrainingConfig.fine_tune, changes, weights, setting),
        name=free_pair_name(opened, name, "fine-tune"),
        minutes=minutes,
    )
    _run(opened, spec, json)


def _run(opened: "Project", spec: Any, json: bool) -> None:
    """Run the job; a project's first pair is used from then on, a later one only offered."""
    from napari_metassl.cli.following import run_to_its_end
    from napari_metassl.data.project import Project

    result = run_to_its_end(spec)
    opened = Project.open(opened.folder)
    used = opened.file.current_pair is None
    if used:
        opened.set_current_pair(result["pair"])
    if json:
        print_json(result | {"current": used})
        return
    if result["comparison"] is not None:
        _print_comparison(result["comparison"])
    name = result["pair"]
    say(
        f"The project now uses '{name}'."
        if used
        else f"Use it with `napari-metassl use {opened.folder} {name}`."
    )


def _print_comparison(comparison: dict[str, Any]) -> None:
    rows = {**comparison["classes"], "mean": comparison["overall"]}
    print_table(
        "Dice on the validation volumes",
        ("class", "cases", "before", "after", "difference", "verdict"),
        [
            (
                name,
                str(row["cases"]),
                figure(row["old"]),
                figure(row["new"]),
                figure(row["difference"]),
                row["word"],
            )
            for name, row in rows.items()
        ],
    )


def _training_config(
    preset: Any, changes: dict[str, Any], weights: WeightsChoice | None, setting: list[str] | None
) -> "TrainingConfig":
    """Make the settings from a preset, the options given and any ``--set``."""
    from pydantic import ValidationError

    from napari_metassl.method.checked_model import validation_sentence
    from napari_metassl.method.training_config import RegionWeights

    if weights is not None:
        make = RegionWeights.paper if weights is WeightsChoice.PAPER else RegionWeights.rational
        changes |= {"weights_unlabeled": make(), "weights_labeled": make(labeled=True)}
    changes |= dict(parse_setting(text) for text in setting or ())
    try:
        config: TrainingConfig = preset(**changes)
    except ValidationError as error:
        raise MetaSSLError(validation_sentence(error)) from error
    return config


def _changes(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _steps(steps: int | None, minutes: float | None) -> int | None:
    if steps is not None and minutes is not None:
        raise typer.BadParameter("Give either --steps or --minutes.")
    return steps


def _known_strategy(strategy: str) -> str:
    """Strategy of the parent; pairs from elsewhere may name another, CPS suits any two."""
    return strategy if strategy.replace("_", "-") in set(StrategyChoice) else "cps"
