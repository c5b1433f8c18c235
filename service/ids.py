"""Ids of experiments, runs and studies as people write them: whole, or only how they begin."""

import re

#: 4 to 32 hexadecimal digits, with a hyphen wherever somebody may have cut an id.
FORM = "^[0-9A-Fa-f]{4}(-?[0-9A-Fa-f]){0,28}-?$"
ALLOWED = (
    "an id, such as 0b5e3c6e-7d0f-4f0e-9a57-3f1c2d4b5a69, or at least 4 of the digits with which "
    "it begins"
)
#: Digits of a whole id, and those by which tables show it.
DIGITS, SHOWN = 32, 8


def digits_of(written: str) -> str | None:
    """The digits of an id, or of how it begins; None if no id begins so."""
    return written.replace("-", "").lower() if re.fullmatch(FORM, written) else None


def is_whole(digits: str) -> bool:
    return len(digits.replace("-", "")) == DIGITS
