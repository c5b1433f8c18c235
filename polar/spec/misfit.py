"""Faults of a spec whose parts are valid alone, but do not fit together."""

from collections.abc import Iterable
from typing import LiteralString

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from polar.spec.fields import SpecPart


def misfit(
    kind: LiteralString,
    message: str,
    pointer: str,
    value: object,
    allowed: str,
    suggestion: str | None = None,
) -> PydanticCustomError:
    """One fault of parts that do not fit together.

    Args:
        kind: Stable name of the kind of fault.
        message: What is wrong, in words.
        pointer: JSON pointer of the field to change, below the spec that is validated.
        value: The value there.
        allowed: What may stand there, in words.
        suggestion: What the user probably meant.
    """
    context = {"message": message, "pointer": pointer, "value": value, "allowed": allowed}
    if suggestion is not None:
        context["suggestion"] = suggestion
    return PydanticCustomError(kind, "{message}", context)


def raise_misfits(spec: SpecPart, misfits: Iterable[PydanticCustomError]) -> None:
    """Raises all misfits at once.

    Raises:
        ValidationError: there is at least one misfit.
    """
    found = [InitErrorDetails(type=one, input=spec) for one in misfits]
    if found:
        raise ValidationError.from_exception_data(type(spec).__name__, found)
