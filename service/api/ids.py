"""The ids in the addresses of routes: whole, or as many of their first digits as no other has."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from service.api.dependencies import Service
from service.ids import LEAST, LEAST_TO_DELETE, allowed, digits_of, form, is_whole
from service.storage.ids import id_of
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run


def _digits(written: str, least: int = LEAST) -> str:
    digits = digits_of(written)
    if digits is None:
        raise PydanticCustomError("uuid_parsing", "this is not an id", {"allowed": allowed(least)})
    if len(digits) < least:
        message = "this is too short for what is to be deleted"
        raise PydanticCustomError("id_too_short", message, {"allowed": allowed(least)})
    return digits


#: The digits of an id, or of how it begins; `service.storage.ids` knows whose they are.
Digits = Annotated[str, AfterValidator(_digits)]


def in_path(name: str, least: int = LEAST) -> Any:  # noqa: ANN401
    """Says that the part of an address with this name begins an id."""
    return Path(
        alias=name,
        description=f"An id, or at least {least} of the digits with which no other id begins.",
        json_schema_extra={"pattern": form(least)},
    )


def _id_of(table: type[Experiment] | type[Run] | type[Study], least: int = LEAST) -> Any:  # noqa: ANN401
    name = f"{table.__name__.lower()}_id"

    async def read(
        service: Service,
        id: Annotated[str, AfterValidator(partial(_digits, least=least)), in_path(name, least)],
    ) -> UUID:
        if is_whole(id):  # most are, and they need no connection of their own
            return UUID(id)
        async with service.database.reading() as session:
            return await id_of(session, table, id)

    return Depends(read)


ExperimentId = Annotated[UUID, _id_of(Experiment)]
RunId = Annotated[UUID, _id_of(Run)]
StudyId = Annotated[UUID, _id_of(Study)]
#: The ids of what is to be deleted, of which more digits are wanted.
DeletedExperiment = Annotated[UUID, _id_of(Experiment, LEAST_TO_DELETE)]
DeletedRun = Annotated[UUID, _id_of(Run, LEAST_TO_DELETE)]
DeletedStudy = Annotated[UUID, _id_of(Study, LEAST_TO_DELETE)]
