"""What people say of experiments, runs and studies: names, tags, and notes in Markdown."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, TypeVar
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec.faults import pointer_to
from polar.spec.fields import SpecPart
from polar.spec.misfit import misfit
from service.storage.deletions import is_deleted
from service.storage.errors import Conflict, NotFound
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run

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

D = TypeVar("D", Experiment, Run, Study)
V = TypeVar("V", str, str | None)


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
        if value is not None and (len(value) > LONGEST_VALUE or not value.isprintable()):
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


async def describe(
    session: AsyncSession,
    kind: type[D],
    id: UUID,
    *,
    name: str | None = None,
    tags: Mapping[str, str | None] | None = None,
    note: str | None = None,
) -> D:
    """Change what is said of an experiment, a run or a study; what is None stays as it is.

    Args:
        session: The caller's transaction.
        kind: The table.
        id: Id of the row.
        name: A new name.
        tags: Tags to set, and with None tags to remove; others stay.
        note: A new note.

    Raises:
        NotFound: there is no such row.
        Conflict: there would be too many tags.
    """
    query = select(kind).where(kind.id == id, ~is_deleted(kind.id))
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row = await session.scalar(query)
    what = kind.__name__.lower()
    if row is None:
        raise NotFound(what, id)
    merged = {
        key: value for key, value in {**row.tags, **(tags or {})}.items() if value is not None
    }
    if len(merged) > MOST_TAGS:
        raise Conflict(
            f"{what} {id} would have {len(merged)} tags, of which it has {len(row.tags)} already; "
            f"allowed: at most {MOST_TAGS}"
        )
    before = (row.name, row.tags, row.note)
    row.name = row.name if name is None else name
    row.tags = merged
    row.note = row.note if note is None else note
    if (row.name, row.tags, row.note) != before:
        # by the clock, not by the start of the transaction, so that later changes have later times
        row.described_at = await session.scalar(select(func.clock_timestamp()))
        await session.flush()
    return row
