"""What became of the messages to webhooks, through HTTP."""

from uuid import uuid4

import httpx
from sqlalchemy import func

from service.storage.database import Database
from service.storage.webhooks import Delivery

DELIVERIES = "/api/v1/webhooks/deliveries"


async def test_deliveries_are_listed_with_the_reason_of_a_failure(
    http: httpx.AsyncClient, database: Database
) -> None:
    nothing = await http.get(DELIVERIES)
    run_id = uuid4()
    async with database.transaction() as session:
        session.add(
            Delivery(
                url="https://a.example", kind="run", subject=run_id, state="failed",
                ended_at=func.now(), tries=2, error="ConnectError",
            )
        )  # fmt: skip
    (delivery,) = (await http.get(DELIVERIES)).json()["deliveries"]

    assert nothing.json() == {"deliveries": []}
    assert (delivery["subject"], delivery["tries"]) == (str(run_id), 2)
    assert (delivery["error"], delivery["delivered_at"]) == ("ConnectError", None)
