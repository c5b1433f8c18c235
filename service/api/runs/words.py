"""What a run trains and why it failed, in a few words."""

from collections.abc import Mapping
from typing import Any

from polar.spec import MODELS

_FRAMES = "Traceback (most recent call last):"


def weight_of(model: Mapping[str, Any]) -> str | None:
    """The weight in the model of a spec, such as `beta 2`; None if it has none."""
    kind = MODELS.get(model.get("name", ""))
    name = kind.weight_name if kind else None
    return weight_in_words(name, model.get(name) if name else None)


def weight_in_words(name: str | None, weight: float | None) -> str | None:
    return None if name is None or weight is None else f"{name} {weight:,.4g}"


def headline(message: str) -> str:
    """The line of a message that says most: of a traceback the error, of others the first."""
    before, header, frames = message.strip().rpartition(_FRAMES)
    lines = (frames if header else before + frames).strip("\n").splitlines() or [""]
    if not header:  # a long message has lost its beginning
        return lines[-1].strip() if message.startswith("...") else lines[0]
    return next((line for line in lines if line and not line[0].isspace()), lines[-1].strip())
