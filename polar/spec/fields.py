"""What all parts of a spec have in common."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from polar.spec.faults import WEIGHT

#: Images that every measure is defined for.
FEWEST_IMAGES = 5

#: What readers of JSON and Optuna's database, whose numbers are doubles, hold exactly; to 9e15.
MOST_WHOLE = 10**15
#: No number that float32 training can end with is larger.
MOST_REAL = 1e38


def _whole(number: Any) -> Any:  # noqa: ANN401
    """The integer that a number such as `1e3` is; anything else as it was."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


#: Lets an integer be written as `1e3` or `1000.0` too. It stands behind the bounds: before them,
#: the JSON schema would lose these.
WHOLE = BeforeValidator(_whole)
#: An integer with the bounds of its field.
Whole = Annotated[int, Field(strict=True), WHOLE]
#: A standard deviation, or a variance. Its inverse square scales the loss, whose gradients Adam
#: squares once more: beyond these, float32 ends.
Spread = Annotated[float, Field(strict=True, ge=1e-6, le=1e6)]
#: Strength of the regularisation; marked in the JSON schema, so that a hint can name it.
Weight = Annotated[float, Field(strict=True, ge=0, le=1e6, json_schema_extra={WEIGHT: True})]


def one_line(name: str) -> str:
    """A name that is one line of printable characters; Postgres could not store a NUL."""
    if not name.isprintable():
        raise ValueError("a name is one line of printable characters")
    return name


#: A label for people.
Name = Annotated[str, Field(strict=True, max_length=100), AfterValidator(one_line)]


class SpecPart(BaseModel):
    """Base of every part of a spec: frozen, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # `lambda` is no name in Python
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )
