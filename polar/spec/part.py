"""What all parts of a spec have in common."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: Images that every measure is defined for.
FEWEST_IMAGES = 5

PositiveFloat = Annotated[float, Field(strict=True, gt=0)]
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
Weight = Annotated[float, Field(strict=True, ge=0, le=1e6)]


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
