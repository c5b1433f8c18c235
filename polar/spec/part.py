"""What all parts of a spec have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: Images that every measure is defined for.
FEWEST_IMAGES = 5

PositiveFloat = Annotated[float, Field(strict=True, gt=0)]
PositiveInt = Annotated[int, Field(strict=True, gt=0)]
Weight = Annotated[float, Field(strict=True, ge=0, le=1e6)]


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
