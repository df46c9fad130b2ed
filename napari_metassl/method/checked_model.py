"""Saved settings whose mistakes are told in one sentence instead of a validator's report."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_metassl.errors import PairProblem

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def validation_sentence(error: ValidationError) -> str:
    """Return the first complaint of a pydantic report: the field, what it expects, what it got."""
    first = error.errors()[0]
    # A field of several types is followed by the name of the type that was tried.
    parts = [part for part in map(str, first["loc"]) if part.isidentifier() or part.isdigit()]
    complaint = _complaint(first)
    if first["type"] == "value_error" or not parts:
        return f"{complaint}."
    return f"{'.'.join(parts)}: {complaint}."


def _complaint(error: ErrorDetails) -> str:
    """Say one of pydantic's complaints as this program says what is wrong."""
    if error["type"] == "extra_forbidden":
        return "there is no such setting; correct its name or leave it out"
    if error["type"] == "missing":
        return "no value was given; give one"
    message = error["msg"].removeprefix("Value error, ").split(", unable to parse")[0].rstrip(".")
    wanted = message.removeprefix("Input should be ")
    if wanted == message:
        return message
    number = "a number " if wanted.startswith(("greater", "less")) else ""
    return f"expected {number}{wanted}, got {reprlib.repr(error['input'])}"


class CheckedModel(BaseModel):
    """Frozen pydantic model that raises `PairProblem` when it is made with wrong values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # the checker keeps pydantic's own signature

        def __init__(self, **fields: Any) -> None:
            try:
                super().__init__(**fields)
            except ValidationError as error:
                raise PairProblem(validation_sentence(error)) from error
