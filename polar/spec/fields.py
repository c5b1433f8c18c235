"""What the parts of a spec have in common: their base, and the types of their fields."""

import re
import unicodedata
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


#: U+200C and U+200D, by which Persian, Indic scripts and emoji say whether characters join.
_JOINER = "[\u200c\u200d]"
_JOINS_NOTHING = re.compile(f"^ *{_JOINER}|{_JOINER}{{2}}|{_JOINER} *$")
#: Letters and a symbol that are drawn as nothing: fillers of Hangul, and the blank of Braille.
_DRAWN_AS_NOTHING = "\u115f\u1160\u3164\uffa0\u2800"


def is_one_line(text: str) -> bool:
    """Whether a text has printable characters alone, and joiners between others."""
    return _is_printable(text) and not _JOINS_NOTHING.search(text)


def one_line(name: str) -> str:
    """The name without blanks at its ends, because nobody would see a link of blanks alone.

    A name with other than printable characters is refused: Postgres cannot store a NUL, and a mark
    of direction would make it look like another.
    """
    if not _is_printable(name):
        raise ValueError("a name is one line of printable characters")
    if not is_one_line(name):
        raise ValueError("in a name, U+200C and U+200D each stand between two other characters")
    name = name.strip()
    if name and not any(map(_is_seen, name)):
        raise ValueError("a name has a character that can be seen")
    return name


def _is_printable(text: str) -> bool:
    return re.sub(_JOINER, "", text).isprintable()


def _is_seen(character: str) -> bool:
    # a mark, of category M, belongs to the character before it, and a blank, of Z, shows nothing
    kind = unicodedata.category(character)[0]
    return kind not in "MZ" and character.isprintable() and character not in _DRAWN_AS_NOTHING


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
