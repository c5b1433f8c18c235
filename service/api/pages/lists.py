"""What the lists of the pages say of studies and experiments besides what the API lists."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from service.api.dependencies import Parts
from service.api.pages.etas import etas
from service.api.pages.filtering import Filter
from service.api.pages.reliability import reliability, verdicts_of
from service.api.pages.rendering import number
from service.api.runs.words import weight_of
from service.api.studies.schemas import StudySummary
from service.storage import list_standings
from service.storage.pages import Trained, trained
from service.storage.study_reliability import ranges_in_short
from service.storage.study_tables import Study
from service.storage.tables import Experiment

PAGE_SIZE = 50


async def standing_of_list(parts: Parts, kind: str, filter: Filter) -> Hashable:
    """A word that changes whenever what the first page of a list shows changes.

    Raises:
        DatabaseAway: the database does not answer.
    """

    async def look(session: AsyncSession) -> str:
        if kind == "agents":
            return await list_standings.of_agents(session)
        standing = {
            "studies": list_standings.of_studies,
            "experiments": list_standings.of_experiments,
            "runs": list_standings.of_runs,
        }[kind]
        return await standing(session, filter.wanted, PAGE_SIZE + 1)

    return await parts.reads.of(("list", kind, filter.query), look)


@dataclass(frozen=True)
class StudyStands:
    """How a study of a list stands."""

    #: The range in one sentence; None without a range.
    headline: str | None
    reliability: Sequence[str]
    #: When all that it wants is done, in words; None if that is not known.
    eta: str | None


async def how_they_stand(
    session: AsyncSession, page: Sequence[StudySummary]
) -> dict[UUID, StudyStands]:
    """How each study of a page stands."""
    ids = [study.id for study in page]
    ranges = await ranges_in_short(session, ids)
    trials = {study.id: study.trials for study in page}
    verdicts = await verdicts_of(session, trials)
    ends = await etas(session, trials)
    return {
        id: StudyStands(
            headline=known.headline if (known := ranges.get(id)) else None,
            reliability=list(reliability(verdicts[id], known.disagreeing if known else None)),
            eta=ends.get(id),
        )
        for id in ids
    }


@dataclass(frozen=True)
class InShort:
    """What an experiment or a study trains, in a few words."""

    model: str
    dataset: str
    #: Such as `beta 2`, or for a study what it searches: `beta 0.01..100`.
    weight: str


async def in_short(
    session: AsyncSession, kind: type[Experiment] | type[Study], ids: Sequence[UUID]
) -> dict[UUID, InShort]:
    """What each of these experiments or studies trains."""
    return {id: _in_short(row) for id, row in (await trained(session, kind, ids)).items()}


def _in_short(row: Trained) -> InShort:
    parts = [_axis(field, axis) for field, axis in (row.search or {}).items()]
    return InShort(row.model, row.dataset, ", ".join(parts) or weight_of(row.network) or "")


def _axis(field: str, axis: Mapping[str, Any]) -> str:
    """A searched field with its ends or its choices; stored axes have their empty kinds, too."""
    name = field.rpartition(".")[2]
    for kind, ends in axis.items():
        if isinstance(ends, list) and ends:
            mark = ", " if kind == "choices" else ".."
            return f"{name} {mark.join(map(number, ends))}"
    return name
