"""The trials of a study: pages, the best of them, tables; no broker is there, it is pretended."""

import csv
import io
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pandas as pd
import pytest

from service.storage.tables import TrialState

if TYPE_CHECKING:
    from tests.service.conftest import Trials, Worker

STUDIES = "/api/v1/studies"

Rows = Callable[[], Awaitable[int]]
Create = Callable[..., Awaitable[UUID]]


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
    assert (study["best"]["values"], study["best"]["measured"]) == ([0.9], {"explained": 0.5})
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


async def test_what_has_parts_is_json_in_a_table_for_spreadsheets(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    observation = {"regime": "polarised", "n_active": 3, "converged": True}
    trial = await trials.begin(study_id, beta=1.0)
    await trials.end(trial, 0.5, observations=[observation])

    table = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    (row,) = csv.DictReader(io.StringIO(table.text))
    assert json.loads(row["observations.seed_0"]) == observation


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


async def test_csv_has_a_row_for_each_trial_and_a_column_for_each_field_and_measure(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    base = {"dataset": {"name": "digits"}, "model": {}, "seeds": [4, 7]}
    study_id = await create(base=base)
    first = await trials.begin(study_id, beta=0.5)
    await trials.end(first, 0.75, explained=0.5, regimes=["polarised", "forming"])
    await trials.begin(study_id, beta=2.0)

    answer = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    done, in_flight = csv.DictReader(io.StringIO(answer.text))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert (done["number"], done["state"], done["model.beta"]) == ("0", "completed", "0.5")
    assert (done["objective.clean_polarisation"], done["explained"]) == ("0.75", "0.5")
    assert (done["regimes.seed_4"], done["regimes.seed_7"]) == ("polarised", "forming")
    assert done["experiment_id"] == str(first.experiment_id)
    assert (in_flight["model.beta"], in_flight["state"]) == ("2.0", "running")
    assert in_flight["objective.clean_polarisation"] == in_flight["explained"] == ""


async def test_seeds_that_were_added_have_columns(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await http.post(f"{STUDIES}/{study_id}/extend", json={"seeds": [9]})
    await trials.end(
        await trials.begin(study_id, beta=2.0), 0.75, regimes=["polarised", "forming"]
    )

    answer = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["regimes.seed_0"], row["regimes.seed_9"]) == ("polarised", "forming")


async def test_parquet_keeps_the_types(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end(
        await trials.begin(study_id, beta=0.1 + 0.2), 1 / 3, n_active=3.0, converged=[True]
    )
    await trials.begin(study_id, beta=2.0)

    answer = await http.get(f"{STUDIES}/{study_id}/trials.parquet")

    table = pd.read_parquet(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert list(table["model.beta"]) == [0.1 + 0.2, 2.0]
    assert table["objective.clean_polarisation"][0] == 1 / 3
    assert table["objective.clean_polarisation"].isna()[1]
    assert table["converged.seed_0"][0] is True
    assert table["created_at"].dt.tz is not None


async def test_whole_numbers_among_the_choices_are_numbers_in_parquet(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(search={"model.beta": {"choices": [1, 0.5]}}, sampler="grid")
    await trials.begin(study_id, beta=1)
    await trials.begin(study_id, beta=0.5)

    answer = await http.get(f"{STUDIES}/{study_id}/trials.parquet")

    assert list(pd.read_parquet(io.BytesIO(answer.content))["model.beta"]) == [1.0, 0.5]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
async def test_a_study_without_trials_is_an_empty_table(
    kind: str, http: httpx.AsyncClient, create: Create
) -> None:
    study_id = await create()

    answer = await http.get(f"{STUDIES}/{study_id}/trials.{kind}")

    read = pd.read_csv if kind == "csv" else pd.read_parquet
    table = read(io.BytesIO(answer.content))
    assert len(table) == 0
    assert list(table.columns[:4]) == [
        "number",
        "state",
        "model.beta",
        "objective.clean_polarisation",
    ]
