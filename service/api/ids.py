"""The ids in the addresses of routes: whole, or as many of their first digits as no other has."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from service.api.dependencies import Service
from service.ids import ALLOWED, FORM, digits_of, is_whole
from service.storage.ids import id_of
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run


def _digits(written: str) -> str:
    digits = digits_of(written)
    if digits is None:
        raise PydanticCustomError("uuid_parsing", "this is not an id", {"allowed": ALLOWED})
    return digits


#: The digits of an id, or of how it begins; `service.storage.ids` knows whose they are.
Digits = Annotated[str, AfterValidator(_digits)]
_InPath = Annotated[
    Digits,
    Path(
        description="An id, or at least 4 of the digits with which no other id begins.",
        json_schema_extra={"pattern": FORM},
    ),
]


async def _id_of(
    service: Service, table: type[Experiment] | type[Run] | type[Study], id: str
) -> UUID:
    if is_whole(id):  # most are, and they need no connection of their own
        return UUID(id)
    async with service.database.reading() as session:
        return await id_of(session, table, id)


async def _experiment(experiment_id: _InPath, service: Service) -> UUID:
    return await _id_of(service, Experiment, experiment_id)


async def _run(run_id: _InPath, service: Service) -> UUID:
    return await _id_of(service, Run, run_id)


async def _study(study_id: _InPath, service: Service) -> UUID:
    return await _id_of(service, Study, study_id)


ExperimentId = Annotated[UUID, Depends(_experiment)]
RunId = Annotated[UUID, Depends(_run)]
StudyId = Annotated[UUID, Depends(_study)]
