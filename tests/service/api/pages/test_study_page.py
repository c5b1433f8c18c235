"""What the page of a study says at first sight, and the pages of its experiments and runs."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from service.storage import runs
from service.storage.states import TrialState
from tests.service.api.conftest import Create, run_of

if TYPE_CHECKING:
    from service.storage.database import Database
    from tests.conftest import Reports
    from tests.service.conftest import Trials, Worker


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce()


#: The outcome of a training that was clean.
CLEAN = [{"regime": "clean", "steps": 30}]


def edge(low: float | None, high: float | None) -> dict[str, Any]:
    return {"low": low, "high": high, "confidence": 0.9}


async def words_of(http: httpx.AsyncClient, study_id: UUID) -> str:
    return " ".join((await http.get(f"/studies/{study_id}")).text.split())


REFUTED = {
    "side": "right", "standing": "not_optimal", "reached": 7.0, "beyond": 7.5, "exists_from": 7.5,
    "exists_to": 21.0, "by": {"weight": 7.0, "seed": 0, "steps": 30},
}  # fmt: skip
MODELS: dict[str, Any] = {"not_optimal": [], "left": None, "right": REFUTED, "models": 4}


async def test_the_page_claims_no_edge_that_known_models_refute(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    band = {"left": edge(0.3, 0.32), "right": edge(7.0, 7.5)}
    held = {"left": edge(0.2, 0.3), "right": edge(14.0, 15.0)}
    found: dict[str, Any] = {
        "intervals": [band],
        "envelope": band,
        "held": held,
        "certificates": MODELS,
    }
    await trials.end_study(study_id, outcome="found", **found)

    shown = await words_of(http, study_id)

    assert "7..7.5" not in shown
    refuted = "<td>right</td><td>refuted</td><td></td><td></td>"
    assert f"<td>interval 1</td>{refuted}" in shown
    assert f"<td>envelope</td>{refuted}" in shown
    assert "<td>held</td><td>right</td><td>14..15</td><td>90 % over seeds</td>" in shown
    assert "<dt>models compared</dt><dd>4</dd>" in shown
    why = "reached from scratch up to 7; a clean solution is the best of 4 known up to 21"
    assert f"<dt>right edge</dt><dd>{why}</dd>" in shown
    assert f"<title>right edge: refuted, {why}</title>" in shown
    assert shown.count('<rect class="edge refuted"') == 1


async def test_edges_without_a_confidence_are_of_one_seed_only_where_there_is_one(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    gap = [
        {"left": edge(0.1, 0.2), "right": {"low": 1.0, "high": 2.0, "confidence": None}},
        {"left": {"low": 3.0, "high": 4.0, "confidence": None}, "right": edge(10.0, 20.0)},
    ]
    envelope = {"left": edge(0.1, 0.2), "right": edge(10.0, 20.0)}
    await trials.end_study(study_id, intervals=gap, envelope=envelope, seeds=[0, 1])

    shown = await words_of(http, study_id)

    assert "one seed" not in shown
    assert "<td>interval 1</td><td>right</td><td>1..2</td><td></td>" in shown
    assert "<td>interval 2</td><td>left</td><td>3..4</td><td></td>" in shown


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
    for beta in (0.5, 5.0):
        await trials.end(await trials.begin(study_id, beta=beta), 0.5, observations=CLEAN)
    bands = [{"left": edge(*left), "right": edge(*right)} for left, right in edges]
    found = {"intervals": bands, "envelope": bands[0] if bands else None}
    await trials.find(study_id, **found)

    shown = await words_of(http, study_id)
    assert ("Trainings are clean" in shown) == (answer is not None)
    assert (answer or "") in shown
    assert "no band found" in shown  # the headline of this range stands below
    await trials.find(study_id, **found, seeds=[0, 1])
    # a seed that was never clean there is inferred from the others
    assert "Trainings are clean" not in await words_of(http, study_id)


async def test_weights_between_edges_at_which_nothing_was_clean_are_no_answer(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end(await trials.begin(study_id, beta=5.0), 0.5, observations=CLEAN)
    forming = [{"regime": "forming", "steps": 30}]
    await trials.end(await trials.begin(study_id, beta=7.8), 0.5, observations=forming)
    band = {"left": edge(5.3, 7.7), "right": edge(8.1, 15.0)}

    await trials.find(study_id, intervals=[band], envelope=band)

    assert "Trainings are clean" not in await words_of(http, study_id)


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
    assert "<li>1 training is running, done in 0:01:00</li>" in shown

    await worker.finish(run_id)
    await trials.end(first, state=TrialState.FAILED, reason="diverged")
    second = await trials.begin(study_id, beta=2.0)
    await trials.end(second, 0.5, regimes=["collapsed"])
    shown = await words_of(http, study_id)
    assert "<li>1 of 3 trials completed (1 failed)</li>" in shown
    assert "<li>no training is clean, of 1</li>" in shown


async def test_only_trainings_that_run_now_say_when_they_are_done(
    http: httpx.AsyncClient,
    create: Create,
    trials: "Trials",
    worker: "Worker",
    reports: "Reports",
    database: "Database",
) -> None:
    study_id = await create()
    for beta, step in ((1.0, 10), (2.0, 40), (3.0, 70)):
        trial = await trials.begin(study_id, beta=beta)
        run_id = await run_of(http, trial.experiment_id)
        await worker.claim(run_id)
        await worker.record(run_id, reports.progress(step))
        if step == 10:
            async with database.transaction() as session:
                await runs.release(session, run_id, 1, reason="lease_lost", message="gone")

    shown = await words_of(http, study_id)

    assert "<li>2 trainings are running, done in 0:01:00</li>" in shown
    assert "<li>1 waits for an agent</li>" in shown


async def test_a_study_that_steps_alone_limit_counts_steps(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(name="by steps", budget={"steps": 8000})
    await trials.end(await trials.begin(study_id, beta=1.0, **{"training.steps": 3000}), 0.5)

    shown = await words_of(http, study_id)
    listed = " ".join((await http.get("/")).text.split())

    done = "<li>1 trial completed</li><li>3,000 of 8,000 training steps spent</li>"
    assert done in shown
    assert "1 completed of at most 3 wanted, within 8,000 steps" in listed


async def test_a_study_with_both_budgets_counts_trials_and_steps(
    http: httpx.AsyncClient, create: Create
) -> None:
    study_id = await create(budget={"trials": 2, "steps": 8000})

    shown = await words_of(http, study_id)
    listed = " ".join((await http.get("/")).text.split())

    assert "<li>0 of 2 trials completed</li><li>0 of 8,000 training steps spent</li>" in shown
    assert "no trial yet of at most 2 wanted, within 8,000 steps" in listed


async def test_seeds_agree_only_where_they_could_have_disagreed(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create(sampler="range")
    await trials.find(study_id, intervals=[], envelope=None)
    for beta, seed in ((1.0, 0), (2.0, 1)):
        trial = await trials.begin(study_id, beta=beta, seed=seed, **{"training.steps": 30})
        await trials.end(trial, 0.5)
    unknown = "<li>whether seeds agree is not known: no weight was trained with two</li>"
    assert unknown in await words_of(http, study_id)

    await trials.end(await trials.begin(study_id, beta=2.0, seed=0, **{"training.steps": 30}), 0.5)
    shown = await words_of(http, study_id)
    assert "<li>seeds agree</li>" in shown
    assert unknown not in shown
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
