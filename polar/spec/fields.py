"""What the parts of a spec have in common: their base, and the types of their fields."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from polar.spec.faults import WEIGHT

#: Fewest images for which every measure is defined.
FEWEST_IMAGES = 5

#: Largest integer of a spec. Readers of JSON and Optuna's database keep numbers as doubles, which
#: are exact up to 9e15.
MOST_INTEGER = 10**15
#: Largest real number of a spec: float32, in which models train, ends at 3.4e38.
MOST_REAL = 1e38


def _integer_of(number: Any) -> Any:  # noqa: ANN401
    """The integer that a float such as `1e3` stands for; anything else stays as it is."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


#: Lets an integer be written as `1e3` or `1000.0` too. It comes after the bounds in an annotation,
#: because the JSON schema would lose bounds that come after it.
INTEGRAL = BeforeValidator(_integer_of)
#: An integer; the field adds its bounds.
Integer = Annotated[int, Field(strict=True), INTEGRAL]
#: A SHA-256 as hexadecimal digits.
Digest = Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]
#: A standard deviation or a variance. The loss is divided by its square, and Adam squares the
#: gradients once more; outside of these bounds, float32 would overflow.
Spread = Annotated[float, Field(strict=True, ge=1e-6, le=1e6)]
#: Strength of the regularisation. It is marked in the JSON schema, so that a hint can name it.
Weight = Annotated[float, Field(strict=True, ge=0, le=1e6, json_schema_extra={WEIGHT: True})]


def one_line(name: str) -> str:
    """The name without blanks at its ends, because nobody would see a link of blanks alone.

    A name with other than printable characters is refused: Postgres cannot store a NUL.
    """
    if not name.isprintable():
        raise ValueError("a name is one line of printable characters")
    return name.strip()


LONGEST_NAME = 100
#: A label for people.
Name = Annotated[str, Field(strict=True, max_length=LONGEST_NAME), AfterValidator(one_line)]


class SpecPart(BaseModel):
    """Base of every part of a spec: frozen, no unknown fields, no NaN or infinity."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # `lambda` cannot be the name of a field in Python
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )
