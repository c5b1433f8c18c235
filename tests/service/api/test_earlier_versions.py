"""Answers about what earlier versions stored: as they are now, or named as unreadable."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from service.settings import Settings
from service.storage.database import Database
from service.storage.states import RunState, TrialState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

STORED = Path(__file__).parents[1] / "storage" / "stored"
API = "/api/v1"


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
async def old_run(
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> "tuple[UUID, UUID]":
    """An experiment and its run, as the first version left them."""
    submission = await submit(spec_of())
    run_id = submission.runs[0].id
    await worker.claim(run_id)
    await worker.record(run_id, reports.evaluation(30), reports.result(spec_of()))
    await worker.finish(run_id)
    async with database.transaction() as session:
        for table, column in (
            ("runs", "progress"),
            ("runs", "result"),
            ("runs", "started"),
            ("evaluations", "evaluation"),
        ):
            await session.execute(
                text(f"update app.{table} set {column} = :old"),
                {"old": (STORED / f"{column}.1.json").read_text()},
            )
    return submission.experiment.id, run_id


async def test_a_run_of_the_first_version_is_shown_whole(
    http: httpx.AsyncClient, old_run: "tuple[UUID, UUID]"
) -> None:
    experiment_id, run_id = old_run
    old = json.loads((STORED / "result.1.json").read_text())

    run = (await http.get(f"{API}/runs/{run_id}")).json()
    experiment = (await http.get(f"{API}/experiments/{experiment_id}")).json()
    diagnostics = (await http.get(f"{API}/runs/{run_id}/diagnostics")).json()
    events = await http.get(f"{API}/experiments/{experiment_id}/events")

    assert run["result"]["explanation"] == old["explanation"]
    assert run["of_earlier_version"] == []
    assert experiment["runs"][0]["settled"] is None  # it had converged, which asked for less
    assert experiment["runs"][0]["progress"]["loss"] > 0
    assert len(diagnostics["latents"]) == len(old["final"]["latents"])
    assert events.text.count("event: ") == 4  # state, evaluation, progress, final state


#: Stored JSON that nobody can upgrade.
UNREADABLE: list[Any] = [
    {},
    {"form": 1, "latents": 3},
    {"final": [], "verdict": None},
    {"form": 2, "a": 1},
    {"form": "x"},
    {"form": -1},
    [1],
    7,
    "x",
]


@pytest.mark.parametrize("content", UNREADABLE, ids=str)
async def test_what_cannot_be_read_is_named_and_all_else_is_shown(
    http: httpx.AsyncClient,
    old_run: "tuple[UUID, UUID]",
    database: Database,
    content: Any,  # noqa: ANN401
) -> None:
    experiment_id, run_id = old_run
    async with database.transaction() as session:
        for statement in (
            "update app.runs set progress = :new, result = :new, started = :new",
            "update app.evaluations set evaluation = :new",
        ):
            await session.execute(text(statement), {"new": json.dumps(content)})

    paths = [
        f"experiments/{experiment_id}",
        f"experiments/{experiment_id}/events",
        "experiments",
        f"runs/{run_id}",
        f"runs/{run_id}/events",
        f"runs/{run_id}/diagnostics",
        f"runs/{run_id}/figures",
    ]
    answers = {path: await http.get(f"{API}/{path}") for path in paths}

    assert {answer.status_code for answer in answers.values()} == {200}
    run = answers[f"runs/{run_id}"].json()
    assert (run["state"], run["result"], run["progress"]) == (RunState.SUCCEEDED, None, None)
    assert {"progress", "result"} <= set(run["of_earlier_version"])
    (of_experiment,) = answers[f"experiments/{experiment_id}"].json()["runs"]
    assert {"progress", "settled"} <= set(of_experiment["of_earlier_version"])
    diagnostics = answers[f"runs/{run_id}/diagnostics"].json()
    assert len(diagnostics["of_earlier_version"]) == 1


@pytest.mark.parametrize(
    "content", [*UNREADABLE, {"seeds": [0], "outcome": "found"}, {"observations": [{}]}], ids=str
)
async def test_a_study_whose_findings_cannot_be_read_is_still_shown(
    http: httpx.AsyncClient,
    create: "Callable[..., Awaitable[UUID]]",
    trials: "Trials",
    database: Database,
    content: Any,  # noqa: ANN401
) -> None:
    study_id = await create(constraints=[{"measure": "n_active", "at_least": 1}])
    await trials.end(await trials.begin(study_id, beta=2.0), 0.5)
    async with database.transaction() as session:
        for statement in (
            "update app.studies set range = :new",
            "update app.trials set measured = :new",
        ):
            await session.execute(text(statement), {"new": json.dumps(content)})

    parts = ("", "/trials", "/trials.csv", "/pareto")
    answers = {part: await http.get(f"{API}/studies/{study_id}{part}") for part in parts}
    range = await http.get(f"{API}/studies/{study_id}/range")
    figure = await http.get(f"{API}/studies/{study_id}/figures/phase_diagram.png")

    assert {answer.status_code for answer in answers.values()} == {200}
    study = answers[""].json()
    assert (study["best"], study["range"]) == (None, None)  # its constraint cannot be judged
    assert study["of_earlier_version"] == ["range"]
    assert answers["/pareto"].json()["trials"] == []
    (trial,) = answers["/trials"].json()["trials"]
    assert (trial["values"], trial["measured"]) == ([0.5], None)
    assert trial["of_earlier_version"] == ["measured"]
    assert range.status_code == 409
    assert "is of an earlier version, and this one cannot read it: /" in range.json()["detail"]
    assert figure.status_code == 404  # there is nothing to draw


async def test_a_study_whose_spec_is_refused_by_now_is_still_shown(
    http: httpx.AsyncClient,
    create: "Callable[..., Awaitable[UUID]]",
    trials: "Trials",
    database: Database,
) -> None:
    study_id = await create()
    await trials.end(await trials.begin(study_id, beta=2.0), 0.5)
    async with database.transaction() as session:
        await session.execute(
            text("update app.studies set spec = jsonb_set(spec, '{base,dataset,images}', '2')")
        )

    study = await http.get(f"{API}/studies/{study_id}")
    listed = await http.get(f"{API}/studies")
    shown = [await http.get(f"{API}/studies/{study_id}/{part}") for part in ("trials", "range")]
    refused = [
        await http.get(f"{API}/studies/{study_id}/{part}")
        for part in ("pareto", "trials.csv", "figures/phase_diagram.png")
    ]

    assert study.status_code == listed.status_code == 200
    assert study.json()["best"] is None
    assert study.json()["of_earlier_version"] == ["spec"]
    assert [answer.status_code for answer in shown] == [200, 404]  # there is no range yet
    assert [answer.status_code for answer in refused] == [409, 409, 409]
    assert "earlier version" in refused[0].json()["detail"]
    assert "/base/dataset/images" in refused[0].json()["detail"]


async def test_trials_of_the_first_studies_are_exported_and_ranked(
    http: httpx.AsyncClient,
    create: "Callable[..., Awaitable[UUID]]",
    trials: "Trials",
    database: Database,
) -> None:
    study_id = await create()
    await trials.end(await trials.begin(study_id, beta=2.0), 0.5)
    async with database.transaction() as session:
        await session.execute(
            text("update app.trials set measured = :old"),
            {"old": (STORED / "measured.1.json").read_text()},
        )

    study = (await http.get(f"{API}/studies/{study_id}")).json()
    table = await http.get(f"{API}/studies/{study_id}/trials.csv")
    extended = await http.post(
        f"{API}/studies/{study_id}/extend", json={"trials": 1, "seeds": [7]}
    )

    assert study["best"]["values"] == [0.5]
    assert len(study["best"]["measured"]["of_seeds"]) == 1
    assert table.status_code == extended.status_code == 200


async def test_a_report_of_an_earlier_version_is_refused_in_words(
    http: httpx.AsyncClient, settings: Settings
) -> None:
    folder = settings.artifacts / "measurements" / "12345678-1234-5678-1234-567812345678"
    (folder / "figures").mkdir(parents=True)
    (folder / "measurement.json").write_text('{"images": 10}')

    answer = await http.get(f"{API}/measurements/{folder.name}")

    assert answer.status_code == 409
    assert "earlier version" in answer.json()["detail"]


async def test_a_study_of_the_first_version_is_shown_whole(
    http: httpx.AsyncClient,
    create: "Callable[..., Awaitable[UUID]]",
    trials: "Trials",
    database: Database,
) -> None:
    study_id = await create()
    await trials.end(await trials.begin(study_id, beta=0.9536), 0.0)
    await trials.end_study(study_id)
    async with database.transaction() as session:
        for table, column, name in (
            ("studies", "spec", "study_spec"),
            ("studies", "range", "range"),
            ("trials", "measured", "measured"),
        ):
            await session.execute(
                text(f"update app.{table} set {column} = :old"),
                {"old": (STORED / f"{name}.1.json").read_text()},
            )

    parts = ("", "/trials", "/trials.csv", "/pareto", "/range")
    answers = {part: await http.get(f"{API}/studies/{study_id}{part}") for part in parts}
    figure = await http.get(f"{API}/studies/{study_id}/figures/phase_diagram.png")

    assert {part: answer.status_code for part, answer in answers.items()} == dict.fromkeys(
        parts, 200
    )
    study = answers[""].json()
    assert study["of_earlier_version"] == study["best"]["of_earlier_version"] == []
    assert study["best"]["number"] == 0
    assert study["range"]["outcome"] == "no_band"
    assert study["best"]["measured"]["regimes"] == ["collapsed"]
    assert figure.status_code == 404  # its verdicts followed other rules
    assert "the completed trials are of an earlier version" in figure.json()["detail"]


async def test_a_trial_of_an_earlier_version_that_failed_has_measured_nothing(
    http: httpx.AsyncClient,
    create: "Callable[..., Awaitable[UUID]]",
    trials: "Trials",
    database: Database,
) -> None:
    study_id = await create()
    await trials.end(await trials.begin(study_id, beta=2.0), state=TrialState.FAILED)
    async with database.transaction() as session:  # such were stored until there were records
        await session.execute(text("update app.trials set measured = '{\"form\": 2}'"))

    (trial,) = (await http.get(f"{API}/studies/{study_id}/trials")).json()["trials"]

    assert (trial["measured"], trial["of_earlier_version"]) == (None, [])


@pytest.mark.parametrize("point", ['"x"', '{"model.beta": [1]}', '{"model.beta": null}', "[1]"])
async def test_a_point_that_was_broken_by_hand_is_named_and_all_else_is_shown(
    http: httpx.AsyncClient,
    create: "Callable[..., Awaitable[UUID]]",
    trials: "Trials",
    database: Database,
    point: str,
) -> None:
    study_id = await create()
    for beta in (2.0, 3.0):
        await trials.end(await trials.begin(study_id, beta=beta), beta)
    async with database.transaction() as session:
        await session.execute(
            text("update app.trials set point = cast(:point as jsonb) where number = 0"),
            {"point": point},
        )

    study = await http.get(f"{API}/studies/{study_id}")
    page = await http.get(f"{API}/studies/{study_id}/trials")

    assert (study.status_code, page.status_code) == (200, 200)
    assert (study.json()["completed"], study.json()["best"]["number"]) == (2, 1)
    broken, whole = page.json()["trials"]
    assert (broken["point"], broken["of_earlier_version"]) == ({}, ["point"])
    assert (whole["point"], whole["of_earlier_version"]) == ({"model.beta": 3.0}, [])
