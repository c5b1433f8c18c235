"""What is wrong with a submitted spec: each fault with its place, what is allowed, and a hint.

What is allowed is read from the JSON schema, and therefore matches what pydantic checks. This
module imports no torch and no numpy.
"""

import difflib
import reprlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict
from pydantic_core.core_schema import ErrorType

#: A JSON schema, or one place of it.
Schema = Mapping[str, Any]
#: A fault as pydantic describes it, from `ValidationError.errors()`.
Detail = Mapping[str, Any]

#: Marks the field of a JSON schema that is its model's weight.
WEIGHT = "x-weight"
#: Most faults that are listed; further faults are only counted.
MOST_FAULTS = 50

#: Every kind of error that pydantic itself raises.
_PYDANTIC_KINDS = frozenset(get_args(ErrorType))
#: Our words for the kinds of errors that specs and requests can have. `Fault.allowed` says what is
#: allowed instead.
_WORDS = {
    kind: words
    for words, kinds in {
        "this is missing": "missing union_tag_not_found",
        "there is no such field": "extra_forbidden",
        "there is no such name": "union_tag_invalid",
        "this is not one of the allowed values": "literal_error enum",
        "this is not a whole number": "int_type int_parsing int_parsing_size int_from_float",
        "this is not a number": "float_type float_parsing",
        "this is not a finite number": "finite_number",
        "this is too small": "greater_than greater_than_equal",
        "this is too large": "less_than less_than_equal",
        "this is neither true nor false": "bool_type bool_parsing",
        "this is not text": "string_type bytes_type",
        "this is not text in Unicode": "string_unicode",
        "this text is too long": "string_too_long",
        "this text is too short": "string_too_short",
        "this text is not of the form that is allowed": "string_pattern_mismatch",
        "this is not an object": "model_type model_attributes_type dict_type mapping_type",
        "this is not a list": "tuple_type list_type iterable_type",
        "there are too few items": "too_short",
        "there are too many items": "too_long",
        "this is not an id": "uuid_type uuid_parsing uuid_version",
        "the key is not text": "invalid_key",
        "this is not a file": "is_instance_of",
        "this contains itself": "recursion_loop",
    }.items()
    for kind in kinds.split()
}


class Fault(BaseModel):
    """A single thing that is wrong with a submitted spec."""

    model_config = ConfigDict(frozen=True)

    #: JSON pointer into the spec, such as `/model/beta`.
    pointer: str
    #: What is wrong, in words.
    message: str
    #: Pydantic's stable name of the kind of fault.
    type: str
    #: The offending value as shortened text; None for a missing field.
    value: str | None
    #: What is allowed here, in words, such as `a number from 0 to 1000000`.
    allowed: str | None
    #: What the user probably meant, such as the nearest name that exists; None without a guess.
    suggestion: str | None

    def __str__(self) -> str:
        """The fault on one line."""
        value = f" (given: {self.value})" if self.value is not None else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        hint = f". Did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.pointer or '/'}: {self.message}{value}{allowed}{hint}"


def find_faults(details: Sequence[Detail], schema: Schema) -> list[Fault]:
    """The faults in pydantic's errors, in words; at most 50 are listed and the others counted.

    Args:
        details: The errors that pydantic raised.
        schema: JSON schema of the model that was validated.
    """
    parents = {
        detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))
    }
    # Pydantic also reports an array with faulty items as too short, which adds nothing.
    telling = [
        detail
        for detail in details
        if detail["type"] != "too_short" or detail["loc"] not in parents
    ]
    listed = [_fault(detail, schema) for detail in telling[:MOST_FAULTS]]
    return [*listed, *_unlisted(len(telling))]


def first_faults(faults: Sequence[Fault]) -> list[Fault]:
    """The first 50 of many faults, and a fault that says how many more there are."""
    return [*faults[:MOST_FAULTS], *_unlisted(len(faults))]


def _unlisted(count: int) -> list[Fault]:
    if count <= MOST_FAULTS:
        return []
    message = f"faults that are not listed: {count - MOST_FAULTS:,}"
    return [
        Fault(pointer="", message=message, type="more", value=None, allowed=None, suggestion=None)
    ]


def _fault(detail: Detail, schema: Schema) -> Fault:
    kind, loc, context = detail["type"], detail["loc"], detail.get("ctx", {})
    places = list(_places(loc, schema))
    # A union's tag, such as `mnist`, is a step of pydantic's path, but not a key of the spec.
    keys = [key for key, parent in zip(loc, places, strict=False) if "discriminator" not in parent]
    union = places[-1].get("discriminator")
    if kind in ("union_tag_invalid", "union_tag_not_found") and union:
        keys.append(union["propertyName"])
    value = context.get("value", context.get("tag", detail["input"]))
    return Fault(
        pointer=pointer_to(keys) + context.get("pointer", ""),
        message=_message(detail, places),
        type=kind,
        value=None if kind in ("missing", "union_tag_not_found") else shortened(value),
        allowed=context.get("allowed") or _allowed_here(kind, places, schema),
        suggestion=context.get("suggestion") or _suggestion(kind, value, keys, places, schema),
    )


def _message(detail: Detail, places: Sequence[Schema]) -> str:
    """Our words for this kind of fault, or those of our code that raised it; never pydantic's."""
    kind = detail["type"]
    if kind == "extra_forbidden" and len(places) > 2 and "discriminator" in places[-3]:
        return f"{detail['loc'][-2]} has no such field"
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _PYDANTIC_KINDS - {"value_error", "assertion_error"}:
        return "this cannot be used here"
    return str(detail["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _allowed_here(kind: str, places: Sequence[Schema], schema: Schema) -> str | None:
    if kind == "extra_forbidden":
        return ", ".join(_fields(places[-2], schema)) or "none"
    if kind == "invalid_key":
        return "text"
    if kind in ("union_tag_invalid", "union_tag_not_found") and "discriminator" in places[-1]:
        return ", ".join(places[-1]["discriminator"]["mapping"])
    return _allowed(places[-1], schema)


def _suggestion(
    kind: str, value: object, keys: Sequence[int | str], places: Sequence[Schema], schema: Schema
) -> str | None:
    """What the user probably meant: a field here or elsewhere, a value, or a named object."""
    place = places[-1]
    tags = place.get("discriminator", {}).get("mapping", {})
    if kind == "extra_forbidden":
        return _nearest_field(keys, places, schema)
    if not isinstance(value, str):
        return None
    if kind == "union_tag_invalid":
        return nearest(value, tags)
    if kind == "model_attributes_type" and tags and (tag := nearest(value, tags)):
        return f"{{{place['discriminator']['propertyName']}: {tag}}}"
    if kind in ("literal_error", "enum"):
        choices = _alternatives(place, schema)
        names = [str(name) for choice in choices for name in choice.get("enum", ())]
        return nearest(value, names)
    return None


def _nearest_field(
    keys: Sequence[int | str], places: Sequence[Schema], schema: Schema
) -> str | None:
    """The name of the field that was probably meant.

    It is the weight of this model if the key is the weight of another model, else the pointer to a
    field of the same name elsewhere, in the same part of the spec if there is one, else the
    nearest name here.
    """
    word, here = str(keys[-1]), _fields(places[-2], schema)
    siblings = _alternatives(places[-3], schema) if len(places) > 2 else []
    if any(WEIGHT in sibling.get("properties", {}).get(word, {}) for sibling in siblings):
        return next((name for name, field in here.items() if WEIGHT in field), None)
    paths = (path for path in _all_fields(schema) if path[-1] == word and path != tuple(keys))
    elsewhere = min(paths, key=lambda path: path[0] != keys[0], default=None)
    return pointer_to(elsewhere) if elsewhere else nearest(word, here)


def shortened(value: object) -> str:
    """A value as text of at most 80 characters, however long or deep it is."""
    # reprlib looks only a few levels deep; plain repr would exhaust the stack on a nesting bomb
    return reprlib.repr(value)[:80]


def pointer_to(keys: Iterable[int | str]) -> str:
    """The JSON pointer of these keys; no keys give the empty pointer, which is the spec itself."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def _places(loc: Sequence[int | str], schema: Schema) -> Iterator[Schema]:
    """The schemas of the spec, of each part along pydantic's path, and of the place itself."""
    place = schema
    yield place
    for step in loc:
        place = _resolved(_inside(place, step, schema), schema)
        yield place


def _inside(place: Schema, step: int | str, schema: Schema) -> Schema:
    if "discriminator" in place:
        return {"$ref": place["discriminator"]["mapping"][step]}
    for choice in _alternatives(place, schema):
        if isinstance(step, int):
            places: Sequence[Schema] = choice.get("prefixItems", [])
            if step < len(places) or "items" in choice:
                return places[step] if step < len(places) else choice["items"]
        # a step into an object can be a number too, if a key should have been text
        inner = choice.get("properties", {}).get(step) or choice.get("additionalProperties")
        if inner:
            return dict(inner)
    # "[key]" is pydantic's step to the key itself, which is wrong because it is not text
    return {"type": "string"} if step == "[key]" else {}


def _resolved(place: Schema, schema: Schema) -> Schema:
    return schema["$defs"][place["$ref"].rpartition("/")[2]] if "$ref" in place else place


def _alternatives(place: Schema, schema: Schema) -> list[Schema]:
    """The schemas of which at least one must hold at a place; often there is only one."""
    place = _resolved(place, schema)
    choices = place.get("anyOf") or place.get("oneOf") or ()
    inner = [alternative for choice in choices for alternative in _alternatives(choice, schema)]
    return inner or [place]


def _fields(place: Schema, schema: Schema) -> Mapping[str, Schema]:
    choices = _alternatives(place, schema)
    return {
        name: field for choice in choices for name, field in choice.get("properties", {}).items()
    }


def _allowed(place: Schema, schema: Schema) -> str | None:
    match _resolved(place, schema):
        case {"const": value}:
            return str(value)
        case {"enum": values}:
            return ", ".join(map(str, values))
        case {"anyOf": choices}:
            return ", or ".join(_allowed(choice, schema) or "" for choice in choices)
        case {"discriminator": {"propertyName": name, "mapping": tags}}:
            return f"an object whose {name} is one of: {', '.join(tags)}"
        case {"properties": fields}:
            return f"an object with the fields {', '.join(fields)}"
        case {"type": "object", "minProperties": low, "maxProperties": high}:
            return f"an object of {low} to {high} fields"
        case {"type": "array", "maxItems": high, **array}:
            low = array.get("minItems", 0)
            count = f"{low}" if low == high else f"{low} to {high}"
            # all items of a fixed array have the same schema in our specs
            item = array.get("items") or array["prefixItems"][0]
            return f"a list of {count} items, each {_allowed(item, schema)}"
        case {"type": "integer", **bounds}:
            return f"an integer {_range(_inclusive(bounds))}".rstrip()
        case {"type": "number", **bounds}:
            return f"a number {_range(bounds)}".rstrip()
        case {"type": "string", "format": "uuid"}:
            return "an id, such as 0b5e3c6e-7d0f-4f0e-9a57-3f1c2d4b5a69"
        case {"type": "string", "contentMediaType": _} | {"type": "string", "format": "binary"}:
            return "a file"
        case {"type": "string", "maxLength": length, "pattern": pattern}:
            return f"text of at most {length} characters that matches {pattern}"
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
    """The lower and the upper bound in words, as far as they exist."""
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
    """The bounds of an integer, with exclusive bounds made inclusive."""
    inclusive = {"exclusiveMinimum": ("minimum", 1), "exclusiveMaximum": ("maximum", -1)}
    return dict(
        (inclusive[key][0], bound + inclusive[key][1]) if key in inclusive else (key, bound)
        for key, bound in bounds.items()
    )


def _plain(number: float) -> str:
    return str(int(number) if number == int(number) and abs(number) < 1e16 else number)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that resembles a word most, ignoring case; None if no name is similar."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), names, n=1)
    return names[close[0]] if close else None


def _all_fields(schema: Schema) -> Iterator[tuple[str, ...]]:
    """The path of every field, the shortest paths first."""
    waiting: deque[tuple[tuple[str, ...], Schema]] = deque([((), schema)])
    while waiting:
        path, place = waiting.popleft()
        for name, field in _fields(place, schema).items():
            yield (*path, name)
            waiting.append(((*path, name), field))
