"""What is wrong with a spec whose parts are each as they should be."""

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
    """One thing that is wrong with parts that do not fit together.

    Args:
        kind: A stable name.
        message: What is wrong, in words.
        pointer: JSON pointer of the field to change, below the spec that is validated.
        value: What was given there.
        allowed: What may stand there, in words.
        suggestion: What was probably meant.
    """
    context = {"message": message, "pointer": pointer, "value": value, "allowed": allowed}
    if suggestion is not None:
        context["suggestion"] = suggestion
    return PydanticCustomError(kind, "{message}", context)


def raise_misfits(spec: SpecPart, misfits: Iterable[PydanticCustomError]) -> None:
    """Raises all of them at once.

    Raises:
        ValidationError: there are some.
    """
    found = [InitErrorDetails(type=one, input=spec) for one in misfits]
    if found:
        raise ValidationError.from_exception_data(type(spec).__name__, found)
