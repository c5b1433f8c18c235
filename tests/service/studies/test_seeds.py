"""More seeds for the trials of a study: what was trained is not trained again."""

from typing import TYPE_CHECKING

import pytest

from polar.records.ranges import StudyRange
from service.storage import study_extensions
from service.storage.errors import Conflict
from service.storage.states import RunState, StudyState, TrialState

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf

RANGE = {"sampler": "range", "concurrency": 1}


async def test_completed_trials_are_tried_with_more_seeds_and_share_their_runs(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of())
    await lab.carry_out(study_id)
    before = [run.id for trial in await lab.trials(study_id) for run in await lab.runs_of(trial)]

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, seeds=[7])
    study = await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    states = [trial.state for trial in trials]
    after = [run for trial in trials[3:] for run in await lab.runs_of(trial)]
    assert study.state is StudyState.COMPLETED
    assert states == [TrialState.SUPERSEDED] * 3 + [TrialState.COMPLETED] * 3
    assert [trial.point for trial in trials[3:]] == [trial.point for trial in trials[:3]]
    assert trials[0].status_message == "trial 3 tried the same point with more seeds"
    assert [run.seed for run in after] == [0, 1, 7] * 3
    assert {run.id for run in after if run.seed != 7} == set(before)
    assert isinstance(study.range, StudyRange)
    assert study.range.seeds == (0, 1, 7)
    assert study.range.trainings == 9


async def test_a_trial_in_flight_gets_its_other_seeds_afterwards(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(concurrency=1, budget={"trials": 2}))
    await lab.broker.advance(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, seeds=[7])
    await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    completed = [trial for trial in trials if trial.state is TrialState.COMPLETED]
    assert trials[0].state is TrialState.SUPERSEDED
    assert len(completed) == 2
    for trial in completed:
        assert [run.seed for run in await lab.runs_of(trial)] == [0, 1, 7]


async def test_each_trial_of_a_range_is_one_training(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(**RANGE, budget={"trials": 4}))
    await lab.carry_out(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, trials=2, seeds=[7])
    study = await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 6
    assert len({tuple(trial.point.items()) for trial in trials}) == 6
    for trial in trials:
        (run,) = await lab.runs_of(trial)
        assert run.seed == trial.point["seed"]
        assert run.spec["training"]["steps"] == trial.point["training.steps"] == 3000
    assert {trial.point["seed"] for trial in trials[:4]} <= {0, 1}
    assert {trial.point["seed"] for trial in trials} <= {0, 1, 7}
    assert isinstance(study.range, StudyRange)
    assert study.range.trainings == 6


async def test_seeds_alone_do_not_extend_a_range(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(**RANGE))

    with pytest.raises(Conflict, match="seeds alone would change nothing; allowed: trials, or"):
        async with lab.database.transaction() as session:
            await study_extensions.extend(session, study_id, seeds=[7])


async def test_a_failed_training_of_a_range_is_tried_again_as_it_was(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(**RANGE))
    await lab.broker.advance(study_id)
    (run,) = await lab.queued()
    await lab.end_one(run, RunState.FAILED)
    await lab.carry_out(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.retry_failed(session, study_id)
    await lab.carry_out(study_id)

    first, *others = await lab.trials(study_id)
    assert [trial.state for trial in others] == [TrialState.COMPLETED] * 4
    assert others[-1].point == first.point
    assert [ended.seed for ended in await lab.runs_of(others[-1])] == [run.seed]


async def test_a_grid_that_is_whole_can_have_more_seeds(lab: "Lab", spec_of: "SpecOf") -> None:
    axes = {"model.latent_dim": {"choices": [2, 3]}}
    spec = spec_of(search=axes, sampler="grid", budget={"trials": 9})
    study_id = await lab.submit(spec)
    await lab.carry_out(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, seeds=[7])
    study = await lab.carry_out(study_id)

    states = [trial.state for trial in await lab.trials(study_id)]
    assert study.state is StudyState.COMPLETED
    assert states == [TrialState.SUPERSEDED] * 2 + [TrialState.COMPLETED] * 2
    assert len(lab.optuna_trials(study_id, spec)) == 4


async def test_seeds_that_are_there_are_refused(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of())

    with pytest.raises(Conflict, match=r"has these seeds already: \[1\]"):
        async with lab.database.transaction() as session:
            await study_extensions.extend(session, study_id, seeds=[1, 2])

    assert (await lab.study(study_id)).seeds_wanted == [0, 1]


async def test_a_repetition_that_failed_can_be_tried_again(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(budget={"trials": 1}))
    await lab.carry_out(study_id)
    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, seeds=[7])
    await lab.broker.advance(study_id)
    for run in await lab.queued():
        await lab.end_one(run, RunState.FAILED)
    await lab.broker.advance(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.retry_failed(session, study_id)
    await lab.carry_out(study_id)

    states = [trial.state for trial in await lab.trials(study_id)]
    assert states == [TrialState.SUPERSEDED, TrialState.FAILED, TrialState.COMPLETED]


async def test_two_extensions_repeat_a_trial_in_flight_once(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(budget={"trials": 1}))
    await lab.carry_out(study_id)
    for seed in (7, 8):
        async with lab.database.transaction() as session:
            await study_extensions.extend(session, study_id, seeds=[seed])
        await lab.broker.advance(study_id)

    study = await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    (completed,) = [trial for trial in trials if trial.state is TrialState.COMPLETED]
    assert study.state is StudyState.COMPLETED
    assert len(trials) == 3
    assert [run.seed for run in await lab.runs_of(completed)] == [0, 1, 7, 8]


async def test_more_seeds_than_an_experiment_may_have_are_refused(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of())

    with pytest.raises(Conflict, match=r"has 2 seeds, and 999 more .*; allowed: at most 1000"):
        async with lab.database.transaction() as session:
            await study_extensions.extend(session, study_id, seeds=range(2, 1001))
