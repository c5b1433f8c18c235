"""Studies that end when so many training steps are spent."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from polar.spec.points import Point
from service.storage import points, studies, study_extensions
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf


def base(*seeds: int) -> dict[str, Any]:
    return {
        "dataset": {"name": "digits"},
        "model": {},
        "training": {"steps": 100},
        "seeds": list(seeds),
    }


async def extend(lab: "Lab", study_id: UUID, **by: Any) -> Study:  # noqa: ANN401
    async with lab.database.transaction() as session:
        return await study_extensions.extend(session, study_id, **by)


def trial_at(
    point: Point, steps: int, *seeds: int, state: TrialState = TrialState.COMPLETED
) -> Trial:
    return Trial(point=point, steps=steps, seeds=list(seeds), state=state)


def test_a_training_that_went_on_counts_once_with_its_last_step() -> None:
    trained = [
        {"model.beta": 1.0, "seed": 0, "training.steps": 100},
        {"model.beta": 1.0, "seed": 0, "training.steps": 400},
        {"model.beta": 1.0, "seed": 1, "training.steps": 200},
        {"model.beta": 2.0, "seed": 0, "training.steps": 100},
    ]

    trials = [trial_at(at, int(at["training.steps"]), int(at["seed"])) for at in trained]

    assert points.count_steps(trials) == 700


def test_steps_that_a_study_sweeps_all_count() -> None:
    lengths = (100, 200, 400)

    trials = [trial_at({"training.steps": steps}, steps, 0, 1) for steps in lengths]

    assert points.count_steps(trials) == 2 * 700


def test_a_repeated_trial_counts_once_and_its_new_seeds_too() -> None:
    before = trial_at({"model.beta": 1.0}, 100, 0, 1, state=TrialState.SUPERSEDED)

    trials = [before, trial_at({"model.beta": 1.0}, 300, 0, 1, 7)]

    assert points.count_steps(trials) == 900


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        (TrialState.RUNNING, 200),
        (TrialState.COMPLETED, 200),
        (TrialState.PRUNED, 200),
        (TrialState.SUPERSEDED, 200),
        (TrialState.FAILED, 0),
        (TrialState.CANCELLED, 0),
    ],
)
def test_all_seeds_of_a_trial_count_unless_it_failed(state: TrialState, steps: int) -> None:
    trial = trial_at({"model.beta": 1.0}, 100, 0, 1, state=state)

    assert points.count_steps([trial]) == steps


async def test_a_study_ends_when_its_steps_are_spent(lab: "Lab", spec_of: "SpecOf") -> None:
    spec = spec_of(base=base(0, 1), concurrency=1, budget={"steps": 500})
    study_id = await lab.submit(spec)
    await lab.broker.advance(study_id)
    for run in await lab.queued():
        await lab.end_one(run, RunState.FAILED)

    study = await lab.carry_out(study_id)

    states = [trial.state for trial in await lab.trials(study_id)]
    assert (study.state, study.status_reason) == (StudyState.COMPLETED, "budget_spent")
    # the third begins when 400 steps are spent, and no other trial begins after it
    assert states == [TrialState.FAILED, *[TrialState.COMPLETED] * 3]
    assert study.status_message == "3 trials are completed, 600 of 500 training steps are spent"


async def test_a_training_that_goes_on_spends_what_it_adds(lab: "Lab", spec_of: "SpecOf") -> None:
    # Every training is clean, so that the search doubles its budget to look for moving edges.
    spec = spec_of(
        base=base(0),
        sampler="range",
        range={"max_steps": 200},
        concurrency=2,
        budget={"steps": 2000},
    )
    study_id = await lab.submit(spec)

    study = await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    assert study.state is StudyState.COMPLETED
    assert 2000 <= points.count_steps(trials) <= 2200
    assert {trial.point["training.steps"] for trial in trials} <= {100, 200}


async def test_more_trials_come_with_their_steps(lab: "Lab", spec_of: "SpecOf") -> None:
    spec = spec_of(base=base(0, 1), concurrency=1, budget={"steps": 400})
    study_id = await lab.submit(spec)
    await lab.carry_out(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, trials=3)
    study = await lab.carry_out(study_id)

    assert (study.trials_wanted, study.steps_wanted) == (5, 1000)
    assert len(await lab.trials(study_id)) == 5


async def test_more_seeds_come_with_their_steps(lab: "Lab", spec_of: "SpecOf") -> None:
    # Two of four trials are completed; the new seed may not take the 400 steps that are left.
    spec = spec_of(base=base(0, 1), concurrency=1, budget={"steps": 800})
    study_id = await lab.submit(spec)
    for _ in range(2):
        await lab.broker.advance(study_id)
        for run in await lab.queued():
            await lab.end_one(run)
    async with lab.database.transaction() as session:
        await studies.pause(session, study_id)
    await lab.broker.advance(study_id)

    extended = await extend(lab, study_id, seeds=[7])
    spent = points.count_steps(await lab.trials(study_id))
    async with lab.database.transaction() as session:
        await studies.resume(session, study_id)
    study = await lab.carry_out(study_id)

    completed = [trial for trial in await lab.trials(study_id) if trial.values is not None]
    assert extended.steps_wanted == 800 + 2 * 100
    assert spent == 400  # nobody has trained the new seed yet
    assert [trial.seeds for trial in completed] == [[0, 1]] * 2 + [[0, 1, 7]] * 4
    assert study.status_message == (
        "4 trials are completed, 1,200 of 1,000 training steps are spent"
    )


async def test_two_extensions_by_seeds_pay_for_each_seed_once(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(base=base(0, 1), budget={"steps": 400, "trials": 2}))
    await lab.carry_out(study_id)

    for seed in (7, 8):
        extended = await extend(lab, study_id, seeds=[seed])

    assert extended.steps_wanted == 800


async def test_swept_steps_are_paid_for_at_their_own_length(lab: "Lab", spec_of: "SpecOf") -> None:
    axes = {"training.steps": {"choices": [100, 400]}}
    spec = spec_of(
        base={**base(0), "model": {"beta": 1.0}},
        search=axes,
        sampler="grid",
        budget={"steps": 500, "trials": 2},
    )
    study_id = await lab.submit(spec)
    await lab.carry_out(study_id)

    extended = await extend(lab, study_id, seeds=[7])
    study = await lab.carry_out(study_id)

    assert extended.steps_wanted == 1000
    assert study.status_message == (
        "2 trials are completed, 1,000 of 1,000 training steps are spent"
    )


async def test_longer_trainings_are_spent_when_they_begin(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(base=base(0, 1), concurrency=1, budget={"steps": 400}))
    await lab.carry_out(study_id)

    await extend(lab, study_id, training_steps=300)
    before = points.count_steps(await lab.trials(study_id))
    await lab.broker.advance(study_id)
    after = points.count_steps(await lab.trials(study_id))

    assert (before, after) == (400, 800)
