"""Reads what a researcher writes on the page for submitting: an experiment, or a study."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from pydantic import ValidationError

from polar.errors import InvalidInput
from polar.spec import read_yaml
from polar.spec.faults import Fault
from service.api.experiments.schemas import NewExperiment
from service.api.studies.schemas import NewStudy

#: Most characters of a draft, because it is read again whenever it changes; the largest useful
#: spec has about 30,000.
MOST_CHARACTERS = 100_000
#: Fields that a study has and an experiment has not.
OF_STUDIES = ("base", "search")


@dataclass(frozen=True)
class Draft:
    """A text that may become an experiment or a study."""

    text: str
    #: What the text says; None if it has faults.
    new: NewExperiment | NewStudy | None = None
    faults: Sequence[Fault] = ()
    #: Why the text cannot be read at all.
    unreadable: str | None = None


async def read(text: str) -> Draft:
    """Read a draft in a thread, because it may be long."""
    return await asyncio.to_thread(_read, text.replace("\r\n", "\n"))


def _read(text: str) -> Draft:
    if len(text) > MOST_CHARACTERS:
        why = f"the spec has {len(text):,} characters; allowed: at most {MOST_CHARACTERS:,}"
        return Draft("", unreadable=why)
    if not text.strip():
        return Draft(text)
    try:
        content = read_yaml(text)
    except InvalidInput as error:
        return Draft(text, unreadable=str(error))
    is_study = isinstance(content, Mapping) and any(field in content for field in OF_STUDIES)
    kind = NewStudy if is_study else NewExperiment
    try:
        return Draft(text, new=kind.model_validate(content))
    except ValidationError as error:
        return Draft(text, faults=kind.faults_of(error))


@cache
def examples() -> Mapping[str, Mapping[str, str]]:
    """The texts of the examples that the package contains, by kind and name."""
    folder = files("polar.examples")
    return {"studies": _texts_in(folder / "studies"), "experiments": _texts_in(folder)}


def _texts_in(folder: Traversable) -> Mapping[str, str]:
    return {
        place.name.removesuffix(".yaml"): place.read_text("utf-8")
        for place in sorted(folder.iterdir(), key=lambda place: place.name)
        if place.name.endswith(".yaml")
    }
