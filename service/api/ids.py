"""The ids in the addresses of routes: whole, or as many of their first digits as no other has."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from service.api.dependencies import Service, Session
from service.storage.ids import id_of
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run

#: 4 to 32 hexadecimal digits, with a hyphen wherever somebody may have cut an id.
_FORM = "^[0-9A-Fa-f]{4}(-?[0-9A-Fa-f]){0,28}-?$"


def _digits(written: str) -> str:
    if not re.fullmatch(_FORM, written):
        allowed = (
            "an id, such as 0b5e3c6e-7d0f-4f0e-9a57-3f1c2d4b5a69, or at least 4 of the digits "
            "with which it begins"
        )
        raise PydanticCustomError("uuid_parsing", "this is not an id", {"allowed": allowed})
    return written.replace("-", "").lower()


#: The digits of an id in an address; `service.storage.ids` knows whose they are.
Digits = Annotated[
    str,
    AfterValidator(_digits),
    Path(
        description="An id, or at least 4 of the digits with which no other id begins.",
        json_schema_extra={"pattern": _FORM},
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
