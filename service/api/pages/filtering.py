"""The forms by which lists are filtered; what they ask for stays in the links to further pages."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Query
from pydantic import AfterValidator

from polar.spec.faults import Fault, nearest
from polar.spec.fields import Name
from polar.spec.misfit import misfit
from service.api.filtering import LONGEST_TAG, TAG, wanted_of
from service.api.problems import refusal_of
from service.storage.filters import EVERYTHING, Wanted
from service.storage.states import RunState, StudyState


@dataclass(frozen=True)
class Filter:
    """What a list shows, as its form says it."""

    wanted: Wanted
    #: The fields of the form that are filled in.
    fields: dict[str, str]
    #: What the field `state` may be.
    states: type[StrEnum]

    @property
    def query(self) -> str:
        """The filled fields as part of an address, before other parameters; empty without any."""
        return f"{urlencode(self.fields)}&" if self.fields else ""


def filter_of(states: type[RunState] | type[StudyState]) -> Callable[..., Filter]:
    """The dependency that reads the form of a list whose rows have these states.

    A form sends its empty fields too, which do not matter.
    """

    def read(
        q: Annotated[Name, Query()] = "",
        dataset: Annotated[Name, Query()] = "",
        model: Annotated[Name, Query()] = "",
        state: Annotated[Name, Query()] = "",
        tag: Annotated[str, Query(max_length=LONGEST_TAG), AfterValidator(_tag)] = "",
    ) -> Filter:
        given = {"q": q, "dataset": dataset, "model": model, "state": state, "tag": tag}
        fields = {name: value.strip() for name, value in given.items() if value.strip()}
        tags = [tag] if tag else []
        wanted = wanted_of(q=q, dataset=dataset.strip(), model=model.strip(), tag=tags)
        if state:
            wanted = replace(wanted, state=_state(states, state))
        return Filter(wanted, fields, states)

    return read


def _tag(written: str) -> str:
    if written and not re.fullmatch(TAG, written):
        allowed = "key or key=value, and in keys the characters A-Z a-z 0-9 . _ / -"
        raise misfit("tag", "this is no tag", "", written, allowed)
    return written


def _state(states: type[RunState] | type[StudyState], word: str) -> Any:  # noqa: ANN401
    if word in list(states):
        return states(word)
    fault = Fault(
        pointer="/query/state",
        message="there is no such state",
        type="enum",
        value=repr(word),
        allowed=", ".join(states),
        suggestion=nearest(word, states),
    )
    raise refusal_of(fault)


StudyFilter = Annotated[Filter, Depends(filter_of(StudyState))]
RunFilter = Annotated[Filter, Depends(filter_of(RunState))]
#: That of a list without a form.
NO_FILTER = Filter(EVERYTHING, {}, RunState)
