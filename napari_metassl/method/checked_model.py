"""Saved settings whose mistakes are told in one sentence instead of a validator's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_metassl.errors import PairProblem


def validation_sentence(error: ValidationError) -> str:
    """Return the first complaint of a pydantic report, naming the field it is about."""
    first = error.errors()[0]
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    place = ".".join(str(part) for part in first["loc"])
    return f"{message}." if first["type"] == "value_error" or not place else f"{place}: {message}."


class CheckedModel(BaseModel):
    """Frozen pydantic model that raises `PairProblem` when it is made with wrong values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # the checker keeps pydantic's own signature

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise PairProblem(validation_sentence(error)) from error
