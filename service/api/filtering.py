"""The parameters by which lists are filtered."""

from typing import Annotated

from fastapi import Depends, Query

from polar.spec.fields import Name
from service.descriptions import KEY, LONGEST_KEY, LONGEST_VALUE, MOST_TAGS
from service.storage.filters import Tag, Wanted

#: How a tag is written, `key` or `key=value`, and how long that may be.
TAG, LONGEST_TAG = rf"{KEY}(=[^\x00-\x1f\x7f]*)?", LONGEST_KEY + 1 + LONGEST_VALUE
_Tag = Annotated[str, Query(max_length=LONGEST_TAG, pattern=f"^{TAG}$")]


def wanted_of(
    name: Annotated[
        Name,
        Query(
            description="Words that the name contains, or that of an experiment or a study that "
            "it belongs to."
        ),
    ] = "",
    own_name: Annotated[Name, Query(description="Its own name, the whole of it.")] = "",
    q: Annotated[
        Name,
        Query(
            description="Words that the name or the note contains, or those of an experiment or a "
            "study that it belongs to."
        ),
    ] = "",
    dataset: Annotated[Name, Query(description="The name of the dataset.")] = "",
    model: Annotated[Name, Query(description="The kind of model, or an own class.")] = "",
    tag: Annotated[
        list[_Tag],
        Query(
            max_length=MOST_TAGS,
            description="A tag that it has, or an experiment or a study that it belongs to: `key` "
            "or `key=value`; can be repeated.",
        ),
    ] = [],  # noqa: B006 (FastAPI copies it)
) -> Wanted:
    return Wanted(
        own_name=own_name.strip(),
        name=name,
        text=q,
        dataset=dataset,
        model=model,
        tags=tuple(map(_parted, tag)),
    )


def _parted(tag: str) -> Tag:
    key, equals, value = tag.partition("=")
    return key, value if equals else None


Filters = Annotated[Wanted, Depends(wanted_of)]
