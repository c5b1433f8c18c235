"""The parameters by which lists are filtered."""

from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query

from polar.spec.fields import Name
from service.descriptions import KEY, LONGEST_KEY, LONGEST_VALUE, MOST_TAGS
from service.storage.filters import Tag, Wanted
from service.storage.states import RunState, StudyState

#: How a tag is written, `key` or `key=value`, and how long that may be.
TAG, LONGEST_TAG = rf"{KEY}(=[^\x00-\x1f\x7f]*)?", LONGEST_KEY + 1 + LONGEST_VALUE
_OWNER = "an experiment or a study that it belongs to"
_Tag = Annotated[str, Query(max_length=LONGEST_TAG, pattern=f"^{TAG}$")]


def wanted_of(
    name: Annotated[
        Name,
        Query(description=f"Words that the name contains, or that of {_OWNER}."),
    ] = "",
    own_name: Annotated[Name, Query(description="Its own name, the whole of it.")] = "",
    q: Annotated[
        Name,
        Query(description=f"Words that the name or the note contains, or those of {_OWNER}."),
    ] = "",
    dataset: Annotated[Name, Query(description="The name of the dataset.")] = "",
    model: Annotated[Name, Query(description="The kind of model, or an own class.")] = "",
    tag: Annotated[
        list[_Tag],
        Query(
            max_length=MOST_TAGS,
            description=f"A tag that it has, or {_OWNER}: `key` or `key=value`; can be repeated.",
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


_Filters = Annotated[Wanted, Depends(wanted_of)]


def _by_state_of_runs(filters: _Filters, state: RunState | None = None) -> Wanted:
    return replace(filters, state=state)


def _by_state_of_studies(filters: _Filters, state: StudyState | None = None) -> Wanted:
    return replace(filters, state=state)


#: What a list of runs has, or of experiments, whose states are those of their runs.
RunsWanted = Annotated[Wanted, Depends(_by_state_of_runs)]
StudiesWanted = Annotated[Wanted, Depends(_by_state_of_studies)]
