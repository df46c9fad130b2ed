"""What a job is asked to do: frozen, saved as spec.json in its folder. No torch here."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PositiveFloat,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from napari_metassl.data.model_card import Normalisation
from napari_metassl.data.names import check_name
from napari_metassl.errors import JobProblem
from napari_metassl.method.checked_model import CheckedModel, validation_sentence
from napari_metassl.method.network_config import NetworkConfig
from napari_metassl.method.training_config import Precision, TrainingConfig

if TYPE_CHECKING:
    from napari_metassl.data.project import Project

Spacing = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class _Spec(CheckedModel):
    """What all jobs have: a project, and a form that refuses what it does not know."""

    project: Path

    @model_validator(mode="before")
    @classmethod
    def _paths_for_good(cls, values: Any) -> Any:
        """Make paths absolute: the job runs elsewhere and later than it was asked for."""
        if not isinstance(values, Mapping):
            return values
        found = {key: values[key] for key in ("project", "pair", "parent") if values.get(key)}
        return {**values, **{key: Path(path).resolve() for key, path in found.items()}}


class PredictSpec(_Spec):
    """Predict volumes of a project with both networks of a pair.

    Attributes
    ----------
    pair : Path
        Folder of the pair.
    volumes : tuple of str or None
        Names of the volumes; None means all of the project.
    force : bool
        Predict again what this very pair has predicted already.
    overlap : float
        Share of a window covered by the next one.
    """

    kind: Literal["predict"] = "predict"
    pair: Path
    volumes: tuple[str, ...] | None = None
    force: bool = False
    overlap: float = Field(default=0.5, ge=0.0, lt=1.0)
    device: str = "auto"
    precision: Precision = "auto"

    @classmethod
    def with_current_pair(cls, project: "Project", volumes: tuple[str, ...]) -> Self:
        """Ask for these volumes from the pair the project uses.

        Raises
        ------
        JobProblem
            When it uses none.
        """
        pair = project.pair_path()
        if pair is None:
            raise JobProblem(
                "This project has no pair of networks yet, so nothing can predict. Import a pair "
                "on the Project page, or train one with `napari-metassl train`."
            )
        return cls(project=project.folder, pair=pair, volumes=volumes)


class FineTuneSpec(_Spec):
    """Train a pair on the labeled volumes, the corrections and all unlabeled volumes.

    Attributes
    ----------
    kind : str
        "fine-tune" goes on from `parent`, "train" begins with new `networks`; left out, it
        follows from whether there is a parent.
    parent : Path or None
        Folder of the pair to go on from; its grid, normalisation and classes are kept.
    networks : pair of NetworkConfig or None
        The new networks (supervised, reference); only without a parent.
    spacing : (z, y, x) mm, "auto" or None
        Grid of a new pair. "auto": the volumes' own if they share one, else their median;
        None: each volume's own.
    name : str
        Name of the new pair in the project.
    minutes : float or None
        Time for the training steps. The speed is measured on a few steps that are then thrown
        away, the number of steps is fixed from it, and the training begins anew; so the same
        seed and number of steps, which the card states, give the same pair again.
    judge : bool
        Compare the new pair with its parent on the validation volumes at the end.
    """

    kind: Literal["train", "fine-tune"] = "fine-tune"
    parent: Path | None = None
    networks: tuple[NetworkConfig, NetworkConfig] | None = None
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    spacing: Spacing | Literal["auto"] | None = "auto"
    normalisation: Normalisation = Field(default_factory=Normalisation)
    name: str
    minutes: PositiveFloat | None = None
    checkpoint_seconds: float = Field(default=60.0, ge=0.0)
    judge: bool = True

    @model_validator(mode="before")
    @classmethod
    def _kind_from_parent(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "kind" not in values:
            return {**values, "kind": "fine-tune" if values.get("parent") else "train"}
        return values

    @model_validator(mode="after")
    def _parent_or_networks(self) -> Self:
        check_name(self.name, "pair")
        if (self.kind == "fine-tune") != (self.parent is not None):
            raise ValueError("A fine-tuning needs a parent pair, a training from scratch has none.")
        if (self.parent is None) == (self.networks is None):
            raise ValueError(
                "Give either a parent pair to go on from or the configuration of new networks."
            )
        return self


Spec = PredictSpec | FineTuneSpec
_SPEC: TypeAdapter[Spec] = TypeAdapter(Annotated[Spec, Field(discriminator="kind")])


def parse_spec(content: Mapping[str, Any]) -> Spec:
    """Make a spec of what spec.json holds.

    Raises
    ------
    JobProblem
        When it is no job this version knows.
    """
    try:
        return _SPEC.validate_python(dict(content))
    except ValidationError as error:
        raise JobProblem(
            f"spec.json is no job this version can do: {validation_sentence(error)} "
            "Start the job anew."
        ) from error
