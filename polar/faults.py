"""What is wrong with a submitted spec: each fault with its place, what is allowed, and a hint.

The ranges are read from the JSON schema, so that they are those that pydantic checked. Imports no
torch and no numpy.
"""

import difflib
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

#: One place of a JSON schema, or the whole of it.
Schema = Mapping[str, Any]
#: One fault as pydantic tells it, of `ValidationError.errors()`.
Detail = Mapping[str, Any]


class Fault(BaseModel):
    """One thing that is wrong with a submitted spec."""

    model_config = ConfigDict(frozen=True)

    #: JSON pointer into the spec, such as `/model/beta`.
    pointer: str
    #: What is wrong, in words.
    message: str
    #: Pydantic's stable name of the kind of fault.
    type: str
    #: The value that was given, shortened, as text; none for a missing field.
    value: str | None
    #: What may stand here, in words, such as `a number from 0 to 1000000`.
    allowed: str | None
    #: The nearest name that exists, for a name that does not.
    suggestion: str | None

    def __str__(self) -> str:
        """The fault on one line."""
        given = f" (given: {self.value})" if self.value is not None else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        hint = f". Did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.pointer or '/'}: {self.message}{given}{allowed}{hint}"


def find_faults(details: Sequence[Detail], schema: Schema) -> list[Fault]:
    """All faults that pydantic found, in words.

    Args:
        details: What pydantic found.
        schema: JSON schema of the model that was validated.
    """
    return [_fault(detail, schema) for detail in details if not _follows(detail, details)]


def _follows(detail: Detail, details: Sequence[Detail]) -> bool:
    """Whether this only repeats others: an array is also too short without its faulty items."""
    loc = detail["loc"]
    beneath = (other["loc"][: len(loc)] == loc != other["loc"] for other in details)
    return detail["type"] == "too_short" and any(beneath)


def _fault(detail: Detail, schema: Schema) -> Fault:
    kind, loc, context = detail["type"], detail["loc"], detail.get("ctx", {})
    places = list(_places(loc, schema))
    # A union's tag, such as `mnist`, is a step of pydantic's path, but no key of the spec.
    keys = [key for key, parent in zip(loc, places, strict=False) if "discriminator" not in parent]
    allowed, suggestion = _allowed(places[-1], schema), None
    if kind == "extra_forbidden":
        fields = places[-2].get("properties", {})
        allowed, suggestion = ", ".join(fields), _nearest_field(str(loc[-1]), fields, schema)
    elif kind.startswith("union_tag"):
        tag = places[-1]["discriminator"]
        keys.append(tag["propertyName"])
        allowed = ", ".join(tag["mapping"])
        suggestion = _nearest(context.get("tag", ""), tag["mapping"])
    return Fault(
        pointer=pointer_to(keys) + context.get("pointer", ""),
        message=detail["msg"].removeprefix("Value error, "),
        type=kind,
        value=None if kind == "missing" else _shortened(context.get("value", detail["input"])),
        allowed=context.get("allowed", allowed),
        suggestion=suggestion,
    )


def _shortened(value: object) -> str:
    # reprlib looks only a few levels deep: a nesting bomb would exhaust the stack
    return reprlib.repr(value)[:80]


def pointer_to(keys: Iterable[int | str]) -> str:
    """The JSON pointer of these keys; the empty one for the whole."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def _places(loc: Sequence[int | str], schema: Schema) -> Iterator[Schema]:
    """The schema of the whole, of each part on the way, and of the place itself."""
    place = schema
    yield place
    for step in loc:
        place = _resolved(_inside(place, step), schema)
        yield place


def _inside(place: Schema, step: int | str) -> Schema:
    if "discriminator" in place:
        return {"$ref": place["discriminator"]["mapping"][step]}
    if isinstance(step, int):
        parts: list[Schema] = [place, *place.get("anyOf", [])]
        array = next((part for part in parts if "maxItems" in part), {})
        places: Sequence[Schema] = array.get("prefixItems", [])
        return places[step] if step < len(places) else array.get("items", {})
    return place.get("properties", {}).get(step, place.get("additionalProperties") or {})


def _resolved(place: Schema, schema: Schema) -> Schema:
    return schema["$defs"][place["$ref"].rpartition("/")[2]] if "$ref" in place else place


def _allowed(place: Schema, schema: Schema) -> str | None:
    match _resolved(place, schema):
        case {"const": value}:
            return str(value)
        case {"enum": values}:
            return ", ".join(values)
        case {"anyOf": parts}:
            return ", or ".join(_allowed(part, schema) or "" for part in parts)
        case {"discriminator": {"propertyName": name, "mapping": tags}}:
            return f"an object whose {name} is one of: {', '.join(tags)}"
        case {"properties": fields}:
            return f"an object with the fields {', '.join(fields)}"
        case {"type": "array", "minItems": low, "maxItems": high, **array}:
            count = f"{low}" if low == high else f"{low} to {high}"
            # the places of a fixed array all allow the same here
            item = array.get("items") or array["prefixItems"][0]
            return f"{count} items, each {_allowed(item, schema)}"
        case {"type": "integer", **bounds}:
            return f"an integer {_range(_inclusive(bounds))}".rstrip()
        case {"type": "number", **bounds}:
            return f"a number {_range(bounds)}".rstrip()
        case {"type": "string", "maxLength": length}:
            return f"text of at most {length} characters"
        case {"type": "string"}:
            return "text"
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "null"}:
            return "null"
    return None


def _range(bounds: Schema) -> str:
    """Lower and upper bound in words, as far as there are any."""
    if "minimum" in bounds and "maximum" in bounds:
        return f"from {_plain(bounds['minimum'])} to {_plain(bounds['maximum'])}"
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return " and ".join(f"{words[key]} {_plain(bounds[key])}" for key in words if key in bounds)


def _inclusive(bounds: Schema) -> Schema:
    """The same bounds of an integer without exclusive ones."""
    inclusive = {"exclusiveMinimum": ("minimum", 1), "exclusiveMaximum": ("maximum", -1)}
    return dict(
        (inclusive[key][0], bound + inclusive[key][1]) if key in inclusive else (key, bound)
        for key, bound in bounds.items()
    )


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def _nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, n=1)), None)


def _nearest_field(word: str, fields: Schema, schema: Schema) -> str | None:
    """The nearest field here, or else the pointer of a field of this name in another part."""
    return _nearest(word, fields) or next(
        (pointer for pointer, name in _all_fields(schema) if name == word), None
    )


def _all_fields(schema: Schema) -> Iterator[tuple[str, str]]:
    for part, place in schema["properties"].items():
        for tag in [place, *place.get("oneOf", [])]:
            for name in _resolved(tag, schema).get("properties", {}):
                yield pointer_to((part, name)), name
