"""What the lists of the pages say of studies and experiments besides what the API lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import MODELS
from service.api.pages.rendering import number
from service.storage.pages import Trained, trained
from service.storage.study_tables import Study
from service.storage.tables import Experiment


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
    return InShort(row.model, row.dataset, ", ".join(parts) or _own_weight(row.network))


def _own_weight(network: Mapping[str, Any]) -> str:
    kind = MODELS.get(network.get("name", ""))
    name = kind.weight_name if kind else None
    return f"{name} {number(network[name])}" if name and name in network else ""


def _axis(field: str, axis: Mapping[str, Any]) -> str:
    """A searched field with its ends or its choices; stored axes have their empty kinds, too."""
    name = field.rpartition(".")[2]
    for kind, ends in axis.items():
        if isinstance(ends, list) and ends:
            mark = ", " if kind == "choices" else ".."
            return f"{name} {mark.join(map(number, ends))}"
    return name
