"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class StrategyChoice(StrEnum):
    """Where the two predictions come from."""

    CPS = "cps"
    MEAN_TEACHER = "mean-teacher"
    FIXMATCH = "fixmatch"
    CCT = "cct"
    R_DROP = "r-drop"


class WeightsChoice(StrEnum):
    """Presets of the region weights."""

    PAPER = "paper"
    RATIONAL = "rational"


class PrecisionChoice(StrEnum):
    """Number format of the networks' arithmetic."""

    AUTO = "auto"
    FULL = "32"
    HALF = "16-mixed"
    BFLOAT = "bf16-mixed"


ProjectArgument = Annotated[Path, typer.Argument(metavar="PROJECT", help="Folder of the project.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
DeviceOption = Annotated[str, typer.Option(help="'auto', 'cpu' or a device such as 'cuda:0'.")]
PrecisionOption = Annotated[PrecisionChoice, typer.Option(help="Number format.")]
SeedOption = Annotated[int, typer.Option(min=0, help="The same seed gives the same pair.")]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Number of training steps.")]
MinutesOption = Annotated[
    float | None,
    typer.Option(min=0.01, help="Time for the training; the number of steps follows from it."),
]
NameOption = Annotated[str | None, typer.Option(help="Name of the new pair.")]
WeightsOption = Annotated[
    WeightsChoice | None, typer.Option(help="Preset of the region weights of the loss.")
]
LearningRateOption = Annotated[float | None, typer.Option(help="Of the optimizer.")]
ValidateOption = Annotated[
    int | None, typer.Option(min=0, help="Steps between validations; 0: only at the end.")
]
PatchOption = Annotated[
    str | None,
    typer.Option(metavar="Z,Y,X", help="Voxels the networks see at once; Y,X for networks in 2D."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Any other setting of the training, value as JSON."
    ),
]
StrategyOption = Annotated[
    StrategyChoice, typer.Option(help="Where the two predictions come from.")
]
ParentStrategyOption = Annotated[
    StrategyChoice | None, typer.Option(help="Else the one the pair was trained with.")
]
PairOption = Annotated[str | None, typer.Option(help="Name or folder; else the current pair.")]
ArchitectureOption = Annotated[str, typer.Option(help="MONAI network, such as SegResNet.")]
SecondOption = Annotated[
    str | None, typer.Option(help="MONAI network of the second prediction, if another.")
]
NetworkOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Option of the networks, value as JSON."),
]
SpacingOption = Annotated[
    str, typer.Option(metavar="Z,Y,X", help="In mm; or 'auto' (median), 'native'.")
]
NormalisationOption = Annotated[
    str, typer.Option(help="zscore, percentile, none, or window:LOW,HIGH.")
]
