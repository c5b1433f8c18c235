"""Trainings that fail, studies whose time is over, and how they go on."""

import asyncio
from typing import TYPE_CHECKING

from optuna.trial import TrialState as OptunaState

from service.storage import study_extensions
from service.storage.states import RunState, StudyState, TrialState

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf

ONE_SEED = {"dataset": {"name": "digits"}, "model": {}, "seeds": [0]}


async def test_a_weight_whose_trainings_fail_is_not_proposed_again(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(sampler="range", concurrency=1, budget={"trials": 4}))
    await lab.broker.advance(study_id)
    for run in await lab.queued():
        await lab.end_one(run, RunState.FAILED)

    study = await lab.carry_out(study_id)

    failed, *others = [float(trial.point["model.beta"]) for trial in await lab.trials(study_id)]
    assert study.state is StudyState.COMPLETED
    assert all(abs(other / failed - 1) > 0.05 for other in others)


async def test_an_extended_study_has_its_hours_anew(lab: "Lab", spec_of: "SpecOf") -> None:
    hours = {"trials": 1, "hours": 1e-3}  # 3.6 s
    study_id = await lab.submit(spec_of(base=ONE_SEED, concurrency=1, budget=hours))
    await lab.carry_out(study_id)
    await asyncio.sleep(3.7)

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, trials=1)
    study = await lab.carry_out(study_id)

    assert study.status_reason == "budget_spent"
    assert len(await lab.trials(study_id)) == 2


async def test_an_extended_study_counts_failures_anew(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(concurrency=1, budget={"trials": 2}))
    for _ in range(5):
        await lab.broker.advance(study_id)
        for run in await lab.queued():
            await lab.end_one(run, RunState.FAILED)
    await lab.broker.advance(study_id)
    gave_up = await lab.study(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, trials=1)
    study = await lab.carry_out(study_id)

    assert gave_up.status_reason == "trials_fail"
    assert study.state is StudyState.COMPLETED
    completed = [
        trial for trial in await lab.trials(study_id) if trial.state is TrialState.COMPLETED
    ]
    assert len(completed) == 3


async def test_a_study_gives_up_also_when_its_trials_fail_one_after_the_other(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(base=ONE_SEED, concurrency=4, budget={"trials": 50}))

    for _ in range(12):
        await lab.broker.advance(study_id)
        for run in (await lab.queued())[:1]:
            await lab.end_one(run, RunState.FAILED)

    study = await lab.study(study_id)
    assert (study.state, study.status_reason) == (StudyState.FAILED, "trials_fail")
    assert len(await lab.trials(study_id)) == 8


async def test_fields_that_do_not_fit_each_other_are_no_point(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    base = {**ONE_SEED, "diagnostics": {"epochs": [20]}, "training": {"steps": 3000}}
    axes = {
        "training.steps": {"choices": [600, 3000]},
        "training.batch_size": {"choices": [16, 64]},
    }
    study_id = await lab.submit(spec_of(base=base, search=axes, sampler="grid"))

    study = await lab.carry_out(study_id)

    points = [tuple(trial.point.values()) for trial in await lab.trials(study_id)]
    assert (study.state, study.status_reason) == (StudyState.COMPLETED, "budget_spent")
    assert (600, 16) not in points
    assert len(points) == 3


async def test_a_small_space_is_not_drawn_from_again_and_again(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    axes = {"model.latent_dim": {"choices": [2, 3]}}
    spec = spec_of(base=ONE_SEED, search=axes, concurrency=4, budget={"trials": 9})
    study_id = await lab.submit(spec)

    for _ in range(5):
        await lab.broker.advance(study_id)

    drawn = lab.optuna_trials(study_id, spec)
    assert len([one for one in drawn if one.state is OptunaState.RUNNING]) == 2
    assert len(drawn) < 50
