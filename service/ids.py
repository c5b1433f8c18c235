"""Ids as people write them: whole, or only how they begin."""

import re

#: Digits of a whole id, and those by which tables show it.
DIGITS, SHOWN = 32, 8
#: Fewest digits with which an id is named, and with which it is named to be deleted: of fewer
#: digits, what somebody saw may be gone and something else begin so.
LEAST, LEAST_TO_DELETE = 4, SHOWN


def form(least: int) -> str:
    """The form of so many hexadecimal digits or more, with a hyphen where an id may be cut."""
    return f"^[0-9A-Fa-f]{{4}}(-?[0-9A-Fa-f]){{{least - 4},28}}-?$"


def allowed(least: int = LEAST) -> str:
    """What people may write, in words."""
    return (
        f"an id, such as 0b5e3c6e-7d0f-4f0e-9a57-3f1c2d4b5a69, or at least {least} of the digits "
        "with which it begins"
    )


def digits_of(written: str) -> str | None:
    """The digits of an id, or of how it begins; None if no id begins so."""
    return written.replace("-", "").lower() if re.fullmatch(form(LEAST), written) else None


def is_whole(digits: str) -> bool:
    return len(digits.replace("-", "")) == DIGITS
