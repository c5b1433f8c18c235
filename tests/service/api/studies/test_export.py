"""The trials of a study as tables; no broker is there, it is pretended."""

import csv
import io
import json
from typing import TYPE_CHECKING

import httpx
import pandas as pd
import pytest

from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.conftest import Trials, Worker


STUDIES = "/api/v1/studies"


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_what_has_parts_is_json_in_a_table_for_spreadsheets(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    observation = {"regime": "forming", "flaws": ["idle"], "steps": 30, "n_active": 3}
    trial = await trials.begin(study_id, beta=1.0)
    await trials.end(trial, 0.5, observations=[observation])

    table = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    (row,) = csv.DictReader(io.StringIO(table.text))
    stored = json.loads(row["observations.seed_0"])
    assert observation.items() <= stored.items()


async def test_csv_has_a_row_for_each_trial_and_a_column_for_each_field_and_measure(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    base = {"dataset": {"name": "digits"}, "model": {}, "seeds": [4, 7]}
    study_id = await create(base=base)
    first = await trials.begin(study_id, beta=0.5)
    await trials.end(first, 0.75, explained=0.5, regimes=["clean", "forming"])
    await trials.begin(study_id, beta=2.0)

    answer = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    done, in_flight = csv.DictReader(io.StringIO(answer.text))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert (done["number"], done["state"], done["model.beta"]) == ("0", "completed", "0.5")
    assert (done["objective.clean_polarisation"], done["explained"]) == ("0.75", "0.5")
    assert (done["regimes.seed_4"], done["regimes.seed_7"]) == ("clean", "forming")
    assert done["experiment_id"] == str(first.experiment_id)
    assert (in_flight["model.beta"], in_flight["state"]) == ("2.0", "running")
    assert in_flight["objective.clean_polarisation"] == in_flight["explained"] == ""


async def test_seeds_that_were_added_have_columns(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(sampler="random")
    await http.post(f"{STUDIES}/{study_id}/extend", json={"seeds": [9]})
    await trials.end(await trials.begin(study_id, beta=2.0), 0.75, regimes=["clean", "forming"])

    answer = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["regimes.seed_0"], row["regimes.seed_9"]) == ("clean", "forming")


async def test_a_training_of_a_range_study_has_its_seed_and_its_steps(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    base = {"dataset": {"name": "digits"}, "model": {}, "seeds": [4, 7]}
    study_id = await create(base=base)
    point = {"beta": 2.0, "seed": 7, "training.steps": 6000}
    await trials.end(await trials.begin(study_id, **point), 0.75, regimes=["forming"])

    answer = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["model.beta"], row["seed"], row["training.steps"]) == ("2.0", "7", "6000")
    assert row["regimes.seed_7"] == "forming"
    assert "regimes.seed_4" not in row


async def test_a_training_that_went_on_has_the_weight_where_it_began(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(range={"held": True})
    point = {"beta": 18.0, "seed": 0, "training.steps": 3000}
    start = {"training.warm_start.weight": 18.0}
    for each in (point, {**point, "beta": 22.0, **start}):
        await trials.end(await trials.begin(study_id, **each), 0.75)

    answer = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["training.warm_start.weight"] for row in rows] == ["", "18.0"]


async def test_a_trial_has_the_steps_that_it_began_with(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(sampler="random")
    await trials.end(await trials.begin(study_id, beta=2.0), 0.5)
    await http.post(f"{STUDIES}/{study_id}/extend", json={"training_steps": 9000})
    await trials.end(await trials.begin(study_id, beta=2.0), 0.75)

    answer = await http.get(f"{STUDIES}/{study_id}/trials.csv")

    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["training.steps"] for row in rows] == ["3000", "9000"]


async def test_parquet_keeps_the_types(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end(
        await trials.begin(study_id, beta=0.1 + 0.2), 1 / 3, n_active=3.0, settled=[True]
    )
    await trials.begin(study_id, beta=2.0)

    answer = await http.get(f"{STUDIES}/{study_id}/trials.parquet")

    table = pd.read_parquet(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert list(table["model.beta"]) == [0.1 + 0.2, 2.0]
    assert table["objective.clean_polarisation"][0] == 1 / 3
    assert table["objective.clean_polarisation"].isna()[1]
    assert table["settled.seed_0"][0] is True
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
    assert list(table.columns[:6]) == [
        "number",
        "state",
        "model.beta",
        "seed",
        "training.steps",
        "objective.clean_polarisation",
    ]
