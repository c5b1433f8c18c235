"""The reliability of a range, on the list and on its own page, by known answers."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from service.api.pages import reliability
from service.api.pages.counting import Counted
from service.storage import studies, study_reliability
from service.storage.database import Database
from service.storage.states import TrialState
from service.storage.study_reliability import Verdicts
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Trials, Worker

Shown = Callable[[UUID], Awaitable[list[list[str]]]]


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
def facts(http: httpx.AsyncClient) -> Shown:
    """The facts of a study: those of the list, and those of its own page."""

    async def facts(study_id: UUID) -> list[list[str]]:
        texts = [(await http.get(path)).text for path in ("/", f"/studies/{study_id}")]
        listed = next(card for card in texts[0].split("<h2>") if str(study_id) in card)
        return [
            re.findall(r"<li>([^<]*)</li>", page[page.index('class="facts"') :].split("</ul>")[0])
            for page in (listed, texts[1])
        ]

    return facts


MEANS = {
    "clean_polarisation": 0.5, "polarisation": 0.5, "reconstruction": 100.0, "n_active": 4.0,
}  # fmt: skip


def outcome(regime: str, *, settled: bool | None) -> Mapping[str, Any]:
    return {"regime": regime, "steps": 30, "settled": settled}


async def test_the_reliability_of_a_range_is_counted_from_all_its_trainings(
    create: Create, trials: "Trials", spec_of: "SpecMaker", facts: Shown, database: Database
) -> None:
    base = spec_of.as_json(seeds=[0, 1])
    study_id = await create(base=base, sampler="random", budget={"trials": 9})
    other_id = await create()
    seen = [
        (0.25, outcome("clean", settled=True), outcome("collapsed", settled=True)),
        (0.75, outcome("clean", settled=False), outcome("clean", settled=None)),
        (0.99, outcome("forming", settled=True), outcome("collapsed", settled=False)),
    ]
    for place, (explained, *outcomes) in enumerate(seen):
        trial = await trials.begin(study_id, beta=2.0 + place)
        of_seeds = [{**MEANS, "explained": explained}, {**MEANS, "explained": explained / 2}]
        regimes = [each["regime"] for each in outcomes]
        await trials.end(trial, 0.5, regimes=regimes, observations=outcomes, of_seeds=of_seeds)
    await trials.end(await trials.begin(study_id, beta=50.0), state=TrialState.FAILED)
    await trials.begin(study_id, beta=60.0)

    async with database.reading() as session:
        found = await study_reliability.verdicts(session, [study_id, other_id])
    # clean are 0.25, 0.75 and the second seed of the second trial, 0.375
    assert found == {
        study_id: Verdicts(2, is_repeated=True, ended=6, settled=3, explained=(0.25, 0.75))
    }
    listed, own = await facts(study_id)
    assert listed[:3] == [
        "R of clean trainings 0.25 to 0.75",
        "3 of 6 trainings settled",
        "2 seeds",
    ]
    assert own[-3:] == listed[:3]
    assert await facts(other_id) == [[], ["0 of 3 trials completed"]]


async def test_reliability_follows_the_trials_and_leaves_out_verdicts_by_other_rules(
    create: Create, trials: "Trials", facts: Shown, database: Database
) -> None:
    study_id = await create()
    seen = [outcome("clean", settled=True)]
    await trials.end(await trials.begin(study_id, beta=2.0), 0.5, observations=seen)
    assert (await facts(study_id))[0][1] == "1 of 1 trainings settled"

    async with database.transaction() as session:  # as version 2 has stored it
        await session.execute(text("update app.trials set measured = measured || '{\"form\": 2}'"))
    await trials.end(await trials.begin(study_id, beta=3.0), 0.5, observations=seen)
    await trials.begin(study_id, beta=4.0)
    for said in await facts(study_id):
        assert {"R of clean trainings 0.50", "1 of 1 trainings settled"} <= set(said)


async def test_a_training_counts_once_though_more_seeds_or_steps_superseded_its_trial(
    create: Create, trials: "Trials", facts: Shown, database: Database
) -> None:
    study_id = await create()
    short = await trials.begin(study_id, beta=2.0)
    await trials.end(short, 0.5, observations=[outcome("clean", settled=False)])
    long = await trials.begin(study_id, beta=2.0, **{"training.steps": 60})
    await trials.end(long, 0.5, observations=[outcome("clean", settled=True)])
    async with database.transaction() as session:
        await studies.supersede(session, *await studies.trials_of(session, study_id))

    for said in await facts(study_id):
        assert "1 of 1 trainings settled" in said


async def test_verdicts_that_are_pushed_out_while_others_are_counted_are_still_said(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = UUID(int=1), UUID(int=2)
    counts = {TrialState.COMPLETED: 1}

    async def count(_: object, ids: Sequence[UUID]) -> Mapping[UUID, Verdicts]:
        known._known.clear()  # as another page of many studies does
        return {id: Verdicts(seeds=id.int) for id in ids}

    known: Counted[Verdicts] = Counted()
    monkeypatch.setattr(reliability, "_verdicts", known)
    monkeypatch.setattr(reliability, "verdicts", count)
    async with database.reading() as session:
        await reliability.verdicts_of(session, {one: counts})
        said = await reliability.verdicts_of(session, {one: counts, other: counts})

    assert said == {one: Verdicts(seeds=1), other: Verdicts(seeds=2)}
