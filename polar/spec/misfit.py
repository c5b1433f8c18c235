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
    """A fault of parts that do not fit together.

    Args:
        kind: Stable name of the kind of fault.
        message: What is wrong, in words.
        pointer: JSON pointer of the field to change, below the spec that is validated.
        value: The value there.
        allowed: What is allowed there, in words.
        suggestion: What the user probably meant.
    """
    context = {"message": message, "pointer": pointer, "value": value, "allowed": allowed}
    if suggestion is not None:
        context["suggestion"] = suggestion
    return PydanticCustomError(kind, "{message}", context)


def raise_misfits(spec: SpecPart, misfits: Iterable[PydanticCustomError]) -> None:
    """Raise all misfits at once, if there are any.

    Raises:
        ValidationError: there is at least one misfit.
    """
    details = [InitErrorDetails(type=misfit, input=spec) for misfit in misfits]
    if details:
        raise ValidationError.from_exception_data(type(spec).__name__, details)
