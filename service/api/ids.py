"""What an address speaks of: by its id, by first digits that no other id has, or by its name."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path
from pydantic import AfterValidator, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec.fields import Name
from service.api.dependencies import Service
from service.ids import LEAST, LEAST_TO_DELETE, allowed, digits_of, form, is_whole
from service.storage.filters import Kind
from service.storage.ids import id_of, meant
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


_NAME: TypeAdapter[str] = TypeAdapter(Name)


def _digits_or_name(written: str) -> str:
    """What may be an id, how an id begins, or a name; a name without blanks at its ends."""
    if digits_of(written) is not None:
        return written  # as it was written, because it may be a name such as 2026-11-28
    try:
        name = _NAME.validate_python(written)
    except ValidationError:
        name = ""
    if not name:
        message = "this is neither an id nor a name"
        raise PydanticCustomError("no_id_no_name", message, {"allowed": f"{allowed()}, or a name"})
    return name


def _id_of(
    table: Kind,
    what: Callable[[str], str],
    described: object,
    find: Callable[[AsyncSession, Kind, str], Awaitable[UUID]],
) -> Any:  # noqa: ANN401
    async def read(
        service: Service, written: Annotated[str, AfterValidator(what), described]
    ) -> UUID:
        if digits_of(written) and is_whole(written):  # most are, and need no connection
            return UUID(written)
        async with service.database.reading() as session:
            return await find(session, table, written)

    return Depends(read)


def _meant(table: Kind) -> Any:  # noqa: ANN401
    described = Path(
        alias=_parameter(table),
        description=f"An id, at least {LEAST} of the digits with which no other id begins, or a "
        "name that nothing else of its kind has.",
    )
    return _id_of(table, _digits_or_name, described, meant)


def _to_delete(table: Kind) -> Any:  # noqa: ANN401
    digits = partial(_digits, least=LEAST_TO_DELETE)
    return _id_of(table, digits, in_path(_parameter(table), LEAST_TO_DELETE), id_of)


def _parameter(table: Kind) -> str:
    return f"{table.__name__.lower()}_id"


ExperimentId = Annotated[UUID, _meant(Experiment)]
RunId = Annotated[UUID, _meant(Run)]
StudyId = Annotated[UUID, _meant(Study)]
#: The ids of what is to be deleted, of which more digits are wanted, and no names.
DeletedExperiment = Annotated[UUID, _to_delete(Experiment)]
DeletedRun = Annotated[UUID, _to_delete(Run)]
DeletedStudy = Annotated[UUID, _to_delete(Study)]
