"""What the page of a study says at first sight, and the pages of its experiments and runs."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from service.storage.states import TrialState
from tests.service.api.conftest import Create, run_of

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import Trials, Worker


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce()


def edge(low: float | None, high: float | None) -> dict[str, Any]:
    return {"low": low, "high": high, "confidence": 0.9}


async def words_of(http: httpx.AsyncClient, study_id: UUID) -> str:
    return " ".join((await http.get(f"/studies/{study_id}")).text.split())


@pytest.mark.parametrize(
    ("edges", "answer"),
    [
        ([((0.1, 0.2), (10.0, None))], "Trainings are clean for beta 0.2 to 10"),
        ([((0.1, 0.2), (1.0, 2.0)), ((3.0, 4.0), (5.0, 6.0))], "0.2 to 1 and 4 to 5"),
        (
            [((0.1, 0.9), (0.8, 2.0)), ((3.0, 4.0), (5.0, 6.0))],
            "Trainings are clean for beta 4 to 5",
        ),
        ([((0.1, 0.9), (0.8, 2.0))], None),  # wherever the edges lie, no weight is inside
        ([((None, None), (5.0, 6.0))], None),
        ([], None),
    ],
    ids=["open", "two", "overlapping and not", "overlapping", "anywhere", "none"],
)
async def test_the_weights_that_are_clean_for_certain_stand_at_the_top(
    http: httpx.AsyncClient, create: Create, trials: "Trials", edges: list[Any], answer: str | None
) -> None:
    study_id = await create()
    bands = [{"left": edge(*left), "right": edge(*right)} for left, right in edges]
    await trials.find(study_id, intervals=bands, envelope=bands[0] if bands else None)

    shown = await words_of(http, study_id)
    assert ("Trainings are clean" in shown) == (answer is not None)
    assert (answer or "") in shown
    assert "no band found" in shown  # the headline of this range stands below


async def test_a_study_says_what_its_trainings_do_now(
    http: httpx.AsyncClient,
    create: Create,
    trials: "Trials",
    worker: "Worker",
    reports: "Reports",
) -> None:
    study_id = await create()
    first = await trials.begin(study_id, beta=1.0)
    shown = await words_of(http, study_id)
    assert "<li>0 of 3 trials completed</li><li>1 waits for an agent</li>" in shown
    assert "settled</li>" not in shown  # nothing has ended that could have

    run_id = await run_of(http, first.experiment_id)
    await worker.claim(run_id)
    await worker.record(run_id, reports.progress(40))
    shown = await words_of(http, study_id)
    assert "<li>1 training runs, done in 0:01:00</li>" in shown

    await worker.finish(run_id)
    await trials.end(first, state=TrialState.FAILED, reason="diverged")
    second = await trials.begin(study_id, beta=2.0)
    await trials.end(second, 0.5, regimes=["collapsed"])
    shown = await words_of(http, study_id)
    assert "<li>1 of 3 trials completed (1 failed)</li>" in shown
    assert "<li>no training is clean, of 1</li>" in shown


async def test_seeds_agree_only_where_they_could_have_disagreed(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(sampler="range")
    await trials.find(study_id, intervals=[], envelope=None)
    for beta, seed in ((1.0, 0), (2.0, 1)):
        trial = await trials.begin(study_id, beta=beta, seed=seed, **{"training.steps": 30})
        await trials.end(trial, 0.5)
    assert "seeds agree" not in await words_of(http, study_id)

    await trials.end(await trials.begin(study_id, beta=2.0, seed=0, **{"training.steps": 30}), 0.5)
    shown = await words_of(http, study_id)
    assert "seeds agree" in shown
    assert "<li>R of clean trainings 0.50</li>" in shown


async def test_the_experiment_and_the_run_of_a_trial_lead_to_its_study(
    http: httpx.AsyncClient,
    create: Create,
    trials: "Trials",
) -> None:
    study_id = await create(name="mine")
    trial = await trials.begin(study_id, beta=2.0)
    run_id = await run_of(http, trial.experiment_id)

    study = f' of <a href="/studies/{study_id}">mine</a>'
    shown = (await http.get(f"/experiments/{trial.experiment_id}")).text
    assert "<li>beta_vae on digits, beta 2, 1 seed</li>" in shown
    assert f"<li>trial 0{study}</li>" in shown
    link = f'<a href="/experiments/{trial.experiment_id}">trial 0</a>{study}'
    assert link in (await http.get(f"/runs/{run_id}")).text


async def test_figures_are_drawn_once_a_study_has_ended(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    seen = [{"regime": "clean", "steps": 30, "n_active": 3, "settled": True}]
    await trials.end(await trials.begin(study_id, beta=5.0), 0.5, observations=seen)
    await trials.find(study_id, headline="found")
    address = f"/api/v1/studies/{study_id}/figures/weight_by_steps.png"

    shown = await words_of(http, study_id)
    assert f'As far as the study has come: <a href="{address}">weight by steps</a>' in shown
    assert "<img" not in shown  # it would stay as it was when the page was loaded

    await trials.end_study(study_id, headline="found")
    assert f'src="{address}"' in await words_of(http, study_id)
