"""The ids in the addresses of routes: whole, or as many of their first digits as no other has."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from service.api.dependencies import Service, Session
from service.ids import ALLOWED, FORM, digits_of
from service.storage.ids import id_of
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run


def _digits(written: str) -> str:
    digits = digits_of(written)
    if digits is None:
        raise PydanticCustomError("uuid_parsing", "this is not an id", {"allowed": ALLOWED})
    return digits


#: The digits of an id in an address; `service.storage.ids` knows whose they are.
Digits = Annotated[
    str,
    AfterValidator(_digits),
    Path(
        description="An id, or at least 4 of the digits with which no other id begins.",
        json_schema_extra={"pattern": FORM},
    ),
]


async def _experiment(experiment_id: Digits, session: Session) -> UUID:
    return await id_of(session, Experiment, experiment_id)


async def _run(run_id: Digits, session: Session) -> UUID:
    return await id_of(session, Run, run_id)


async def _study(study_id: Digits, session: Session) -> UUID:
    return await id_of(session, Study, study_id)


async def _study_alone(study_id: Digits, service: Service) -> UUID:
    async with service.database.transaction() as session:
        return await id_of(session, Study, study_id)


ExperimentId = Annotated[UUID, Depends(_experiment)]
RunId = Annotated[UUID, Depends(_run)]
StudyId = Annotated[UUID, Depends(_study)]
#: For routes that keep no transaction open while they compute.
StudyIdAlone = Annotated[UUID, Depends(_study_alone)]
