"""Schemas of what the API answers about webhooks."""

from datetime import datetime
from uuid import UUID

from service.api.schemas import ResponseModel


class DeliveryView(ResponseModel):
    """The end of a run or a study, and whether an address knows of it."""

    id: UUID
    url: str
    #: `run` or `study`, and its id.
    kind: str
    subject: UUID
    state: str
    ended_at: datetime
    tries: int
    due_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    #: Why the last try failed.
    error: str | None


class Deliveries(ResponseModel):
    """The newest deliveries, the newest first."""

    deliveries: list[DeliveryView]
