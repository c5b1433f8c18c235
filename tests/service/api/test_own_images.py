"""A spec sent to the API can name images that were added to the machine of an agent."""

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import update

from polar.spec.own_images import AddedImages
from service.storage.database import Database
from service.storage.tables import Agent

if TYPE_CHECKING:
    from tests.service.conftest import Worker

CELLS = AddedImages(digest="ab" * 32, side=64, channels=3, factors={"kind": 4}, images=500)
EXPERIMENTS, STUDIES = "/api/v1/experiments", "/api/v1/studies"


def experiment(name: str = "cells", **dataset: object) -> dict[str, Any]:
    return {"dataset": {"name": "images", "added": name, **dataset}, "model": {}}


def study(name: str = "cells") -> dict[str, Any]:
    return {"base": experiment(name), "search": {"model.beta": {"log_uniform": [0.1, 10.0]}}}


@pytest.fixture(autouse=True)
async def _an_agent_has_cells(worker: "Worker") -> None:
    await worker.announce({"cells": CELLS.digest}, own_images={"cells": CELLS})


@pytest.mark.parametrize(
    ("path", "body"), [(EXPERIMENTS, experiment()), (STUDIES, study())], ids=["run", "study"]
)
async def test_what_the_agents_know_completes_the_spec(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    checked = await http.post(f"{path}/validate", json=body)
    made = (await http.post(path, json=body)).json()

    assert checked.status_code == 200
    spec = made["spec"].get("base", made["spec"])
    assert spec["dataset"] == {
        "name": "images",
        "added": "cells",
        "digest": CELLS.digest,
        "side": 64,
        "channels": 3,
        "factors": {"kind": 4},
        "images": 500,
    }
    again = await http.get(f"{path}/{made['id']}")
    assert again.json()["spec"] == made["spec"]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        (EXPERIMENTS, experiment("cell"), "/dataset/added"),
        (STUDIES, study("cell"), "/base/dataset/added"),
    ],
)
async def test_images_that_no_agent_has_are_refused_with_those_that_are_there(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], pointer: str
) -> None:
    refusal = (await http.post(path, json=body)).json()

    (fault,) = refusal["errors"]
    assert fault["pointer"] == pointer
    assert (fault["allowed"], fault["suggestion"]) == ("cells", "cells")


async def test_other_images_of_the_same_name_are_refused(
    http: httpx.AsyncClient, worker: "Worker"
) -> None:
    spec = (await http.post(EXPERIMENTS, json=experiment())).json()["spec"]
    other = CELLS.model_copy(update={"digest": "cd" * 32})
    await worker.announce({"cells": other.digest}, own_images={"cells": other})

    refusal = await http.post(EXPERIMENTS, json=spec)

    assert refusal.status_code == 422
    (fault,) = refusal.json()["errors"]
    assert fault["pointer"] == "/dataset/added"
    assert CELLS.digest in fault["message"]


async def test_images_that_another_version_describes_keep_no_spec_out(
    http: httpx.AsyncClient, database: Database
) -> None:
    async with database.transaction() as session:
        newer = {**CELLS.model_dump(), "depth": 3}
        await session.execute(update(Agent).values(own_images={"cells": newer, "torn": None}))

    made = await http.post(EXPERIMENTS, json={"dataset": {"name": "digits"}, "model": {}})
    listed = await http.get("/api/v1/datasets")

    assert made.status_code == 422  # no agent has the digits, as it says
    assert made.json()["errors"][0]["pointer"] == "/dataset/name"
    assert listed.status_code == 200


async def test_datasets_tell_what_is_known_of_added_images(http: httpx.AsyncClient) -> None:
    listed = {each["name"]: each for each in (await http.get("/api/v1/datasets")).json()}

    assert AddedImages.model_validate(listed["cells"]["own"]) == CELLS
    assert listed["mnist"]["own"] is None
