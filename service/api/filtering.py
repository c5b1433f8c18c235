"""The parameters by which lists are filtered."""

from typing import Annotated

from fastapi import Depends, Query

from polar.spec.fields import Name
from service.descriptions import KEY, LONGEST_KEY, LONGEST_VALUE, MOST_TAGS
from service.storage.filters import Wanted

#: How a tag is written, `key` or `key=value`, and how long that may be.
TAG, LONGEST_TAG = rf"{KEY}(=[^\x00-\x1f\x7f]*)?", LONGEST_KEY + 1 + LONGEST_VALUE
_Tag = Annotated[str, Query(max_length=LONGEST_TAG, pattern=f"^{TAG}$")]


def wanted_of(
    name: Annotated[Name, Query(description="Words that the name contains.")] = "",
    q: Annotated[Name, Query(description="Words that the name or the note contains.")] = "",
    dataset: Annotated[Name, Query(description="The name of the dataset.")] = "",
    model: Annotated[Name, Query(description="The kind of model, or an own class.")] = "",
    tag: Annotated[
        list[_Tag],
        Query(max_length=MOST_TAGS, description="A tag: `key` or `key=value`; can be repeated."),
    ] = [],  # noqa: B006 (FastAPI copies it)
) -> Wanted:
    return Wanted(name=name, text=q, dataset=dataset, model=model, tags=tuple(map(_parted, tag)))


def _parted(tag: str) -> tuple[str, str | None]:
    key, equals, value = tag.partition("=")
    return key, value if equals else None


Filters = Annotated[Wanted, Depends(wanted_of)]
