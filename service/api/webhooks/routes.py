"""What became of the messages to webhooks."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.dependencies import Reading
from service.api.door import Door, needs
from service.api.problems import refusals
from service.api.webhooks.schemas import Deliveries, DeliveryView
from service.storage import webhooks
from service.tokens import Scope

router = APIRouter(route_class=Door, tags=["webhooks"], responses=refusals(422, 503))


@router.get("/webhooks/deliveries", dependencies=[needs(Scope.ADMIN)])
async def list_deliveries(
    session: Reading, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Deliveries:
    """List what webhooks were told, or are still to be told."""
    rows = await webhooks.newest(session, limit)
    return Deliveries(deliveries=[DeliveryView.model_validate(row) for row in rows])
