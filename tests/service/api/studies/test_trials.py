"""The trials of a study: pages and the best of them; no broker is there, it is pretended."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from service.storage.states import TrialState
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.conftest import Trials, Worker


STUDIES = "/api/v1/studies"

Rows = Callable[[], Awaitable[int]]


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_the_best_trial_is_that_of_the_highest_value_among_those_that_are_completed(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    for beta, value in ((0.1, 0.2), (1.0, 0.9), (10.0, 0.4)):
        await trials.end(await trials.begin(study_id, beta=beta), value, explained=0.5)
    await trials.end(await trials.begin(study_id, beta=2.0), state=TrialState.FAILED)
    in_flight = await trials.begin(study_id, beta=3.0)

    study = (await http.get(f"{STUDIES}/{study_id}")).json()
    page = (await http.get(f"{STUDIES}/{study_id}/trials")).json()

    assert study["trials"] == {"completed": 3, "failed": 1, "running": 1}
    assert study["best"] == page["trials"][1]
    assert study["best"]["point"] == {"model.beta": 1.0}
    assert (study["best"]["values"], study["best"]["measured"]["explained"]) == ([0.9], 0.5)
    assert page["trials"][3]["measured"] is page["trials"][4]["measured"] is None
    assert page["trials"][3]["message"] == "it went wrong"
    assert page["trials"][4]["experiment_id"] == str(in_flight.experiment_id)
    assert page["trials"][4]["links"]["experiment"].endswith(str(in_flight.experiment_id))


async def test_a_trial_that_misses_a_constraint_is_not_the_best(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    bounds = [{"measure": "explained", "at_least": 0.2}, {"measure": "n_active", "at_most": 8}]
    study_id = await create(constraints=bounds)
    for value, explained, n_active in ((0.9, 0.1, 4), (0.8, 0.5, 9), (0.3, 0.2, 8), (0.2, 0.9, 1)):
        trial = await trials.begin(study_id, beta=value)
        await trials.end(trial, value, explained=explained, n_active=n_active)

    study = (await http.get(f"{STUDIES}/{study_id}")).json()

    assert study["best"]["values"] == [0.3]


async def test_a_point_that_came_to_an_end_twice_counts_once_as_it_does_for_the_broker(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    for beta, state in (
        (1, TrialState.PRUNED),
        (1, TrialState.COMPLETED),
        (2, TrialState.COMPLETED),
        (3, TrialState.FAILED),
    ):
        await trials.end(await trials.begin(study_id, beta=beta), 0.5, state=state)
    await trials.begin(study_id, beta=5)

    study = (await http.get(f"{STUDIES}/{study_id}")).json()

    assert study["completed"] == 2


async def test_the_front_is_what_no_other_trial_dominates(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    objectives = ["polarisation", "reconstruction"]  # more of the first, less of the second
    study_id = await create(objectives=objectives, sampler="random")
    values = [(0.9, 30.0), (0.5, 10.0), (0.5, 20.0), (0.8, 40.0), (0.1, 5.0), (0.9, 30.0)]
    for number, pair in enumerate(values):
        await trials.end(await trials.begin(study_id, beta=1.0 + number), *pair)

    front = (await http.get(f"{STUDIES}/{study_id}/pareto")).json()
    study = (await http.get(f"{STUDIES}/{study_id}")).json()

    assert front["objectives"] == {"polarisation": "maximize", "reconstruction": "minimize"}
    assert [trial["number"] for trial in front["trials"]] == [0, 1, 4, 5]
    assert study["best"] is None


async def test_the_front_of_one_objective_is_the_best_trials(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(objectives=[{"measure": "n_active", "target": 3}])
    for number, distance in enumerate((2.0, 0.0, 1.0, 0.0)):
        await trials.end(await trials.begin(study_id, beta=1.0 + number), distance)

    front = (await http.get(f"{STUDIES}/{study_id}/pareto")).json()
    study = (await http.get(f"{STUDIES}/{study_id}")).json()

    assert [trial["number"] for trial in front["trials"]] == [1, 3]
    assert study["best"]["number"] == 1


async def test_the_pages_of_the_trials_have_each_of_them_once(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    for number in range(5):
        await trials.begin(study_id, beta=1.0 + number)

    pages, token = [], None
    for _ in range(3):
        params = {"page_size": 2} | ({"page_token": token} if token else {})
        page = (await http.get(f"{STUDIES}/{study_id}/trials", params=params)).json()
        pages.append([trial["number"] for trial in page["trials"]])
        token = page["next_page_token"]

    assert pages == [[0, 1], [2, 3], [4]]
    assert token is None
