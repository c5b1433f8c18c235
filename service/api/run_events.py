"""The events of runs, as the API sends them and its clients read them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from polar.records.events import Evaluation, Progress
from service.api.schemas import ResponseModel
from service.storage.states import RunState


class StateChanged(ResponseModel):
    """The state of a run: it is the first event, follows every change, and is the last event."""

    event: Literal["state"]
    run_id: UUID
    state: RunState
    reason: str | None
    message: str | None
    attempt: int


class QueueMoved(ResponseModel):
    event: Literal["queue"]
    run_id: UUID
    #: How many queued runs will be taken before this one.
    position: int


class Progressed(ResponseModel):
    event: Literal["progress"]
    run_id: UUID
    progress: Progress


class Evaluated(ResponseModel):
    event: Literal["evaluation"]
    run_id: UUID
    evaluation: Evaluation


RunEvent = Annotated[
    StateChanged | QueueMoved | Progressed | Evaluated, Field(discriminator="event")
]

RUN_EVENT: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)
