"""Tags and notes, which people write on experiments, runs and studies: what they may be."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from polar.spec.faults import pointer_to
from polar.spec.fields import SpecPart, is_one_line
from polar.spec.misfit import misfit

MOST_TAGS, LONGEST_KEY, LONGEST_VALUE, LONGEST_NOTE = 32, 64, 256, 16 * 1024
KEY: Final = f"[A-Za-z0-9._/-]{{1,{LONGEST_KEY}}}"
#: Beginnings of the keys of tags in MLflow that MLflow and the tracker write.
RESERVED = ("mlflow.", "polar.")

_CONTROL = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f]")
_SCHEMA = {
    "minProperties": 0,
    "maxProperties": MOST_TAGS,
    "propertyNames": {"pattern": f"^{KEY}$"},
}

V = TypeVar("V", str, str | None)


def is_plain(key: str) -> bool:
    """Whether a key leads nowhere else if it is taken for a path; MLflow refuses all others."""
    return not (key.startswith("..") or {"", ".", ".."} & set(key.split("/")))


def _fitting(tags: dict[str, V]) -> dict[str, V]:
    faults = [InitErrorDetails(type=fault, input=tags) for fault in _misfits(tags)]
    if faults:
        raise ValidationError.from_exception_data("tags", faults)
    return tags


def _misfits(tags: Mapping[str, str | None]) -> Iterator[PydanticCustomError]:
    if len(tags) > MOST_TAGS:
        allowed = f"at most {MOST_TAGS}"
        yield misfit("too_many", "these are too many tags", "", f"{len(tags)} tags", allowed)
    for key, value in tags.items():
        pointer = pointer_to([key])
        if not re.fullmatch(KEY, key):
            allowed = f"1 to {LONGEST_KEY} of the characters A-Z a-z 0-9 . _ / -"
            yield misfit("key_of_tag", "this cannot be the key of a tag", pointer, key, allowed)
        elif key.startswith(RESERVED):
            message = "tags whose keys begin so are written by MLflow and Polar alone"
            allowed = f"keys that do not begin with {' or '.join(RESERVED)}"
            yield misfit("reserved_key", message, pointer, key, allowed)
        elif value is not None and not is_plain(key):  # stored ones can still be removed
            message = "MLflow takes no tags whose keys could lead elsewhere as paths"
            allowed = "keys with nothing empty, `.` or `..` between `/`, and without `..` in front"
            yield misfit("key_as_path", message, pointer, key, allowed)
        if value is not None and (len(value) > LONGEST_VALUE or not is_one_line(value)):
            message = "this cannot be the value of a tag"
            allowed = f"one line of at most {LONGEST_VALUE} printable characters"
            yield misfit("value_of_tag", message, pointer, value, allowed)


def _without_control_characters(note: str) -> str:
    if control := _CONTROL.search(note):
        raise ValueError(
            f"a note has no control characters but tabs and line breaks; this has "
            f"{control.group()!r} at character {control.start()}"
        )
    return note


#: Short keys with short values; a bare word is a key whose value is empty.
Tags = Annotated[dict[str, str], Field(json_schema_extra=_SCHEMA), AfterValidator(_fitting)]
#: Tags to set, and with None tags to remove.
TagChanges = Annotated[
    dict[str, str | None], Field(json_schema_extra=_SCHEMA), AfterValidator(_fitting)
]
Note = Annotated[
    str,
    Field(strict=True, max_length=LONGEST_NOTE),
    AfterValidator(_without_control_characters),
]


class Description(SpecPart):
    """The tags and the note of what is submitted."""

    #: Key -> value.
    tags: Tags = Field({})
    #: Text in Markdown.
    note: Note = ""


NOTHING_SAID = Description()
