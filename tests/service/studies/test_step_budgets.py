"""Studies that end when so many training steps are spent."""

from typing import TYPE_CHECKING, Any

import pytest

from polar.spec.study import Point
from service.storage import points, study_extensions
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Trial

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf


def base(*seeds: int) -> dict[str, Any]:
    return {
        "dataset": {"name": "digits"},
        "model": {},
        "training": {"steps": 100},
        "seeds": list(seeds),
    }


def trial_at(point: Point, state: TrialState = TrialState.COMPLETED) -> Trial:
    return Trial(point=point, state=state)


def test_a_training_that_went_on_counts_once_with_its_last_step(spec_of: "SpecOf") -> None:
    spec = spec_of(base=base(0, 1), sampler="range")
    trained = [
        {"model.beta": 1.0, "seed": 0, "training.steps": 100},
        {"model.beta": 1.0, "seed": 0, "training.steps": 400},
        {"model.beta": 1.0, "seed": 1, "training.steps": 200},
        {"model.beta": 2.0, "seed": 0, "training.steps": 100},
    ]

    assert points.count_steps(spec, [trial_at(point) for point in trained]) == 700


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
def test_all_seeds_of_a_trial_count_unless_it_failed(
    spec_of: "SpecOf", state: TrialState, steps: int
) -> None:
    spec = spec_of(base=base(0, 1))

    assert points.count_steps(spec, [trial_at({"model.beta": 1.0}, state)]) == steps


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
    assert 2000 <= points.count_steps(spec, trials) <= 2200
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
