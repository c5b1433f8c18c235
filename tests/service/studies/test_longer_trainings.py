"""Studies that are extended to longer trainings: what was trained goes on, and is not repeated."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from polar.records.latents import Regime
from polar.records.ranges import StudyRange
from polar.spec.axis import Value
from polar.spec.course import course
from service.storage import forms, points, study_extensions
from service.storage.errors import Conflict
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Run

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf


def base(steps: int = 100, seeds: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    return {
        "dataset": {"name": "digits"},
        "model": {},
        "training": {"steps": steps},
        "seeds": list(seeds),
    }


async def extend(lab: "Lab", study_id: UUID, **by: Any) -> Study:  # noqa: ANN401
    async with lab.database.transaction() as session:
        return await study_extensions.extend(session, study_id, **by)


async def test_completed_trials_go_on_to_more_steps_in_new_trials(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    submitted = spec_of(base=base())
    study_id = await lab.submit(submitted)
    await lab.carry_out(study_id)
    before = [run for trial in await lab.trials(study_id) for run in await lab.runs_of(trial)]

    await extend(lab, study_id, training_steps=300)
    study = await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    after = [run for trial in trials[3:] for run in await lab.runs_of(trial)]
    assert study.state is StudyState.COMPLETED
    assert [trial.state for trial in trials] == [
        *[TrialState.SUPERSEDED] * 3,
        *[TrialState.COMPLETED] * 3,
    ]
    assert [trial.point for trial in trials[3:]] == [trial.point for trial in trials[:3]]
    assert trials[0].status_reason == "more_steps"
    assert trials[0].status_message == "trial 3 tried the same point with more steps"
    assert {run.spec["training"]["steps"] for run in after} == {300}
    # so that their children go on from the last states
    assert [course(forms.experiment_spec(run.spec)) for run in after] == [
        course(forms.experiment_spec(run.spec)) for run in before
    ]
    assert forms.study_spec(study.spec) == submitted
    assert (study.trials_wanted, study.training_steps_wanted) == (3, 300)
    assert isinstance(study.range, StudyRange)
    assert (study.range.steps, study.range.trainings) == (300, 6)


async def test_new_trials_of_an_extended_study_have_its_steps(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(base=base(), budget={"trials": 1}))
    await lab.carry_out(study_id)

    await extend(lab, study_id, training_steps=300, trials=1, seeds=[7])
    await lab.carry_out(study_id)

    first, *others = await lab.trials(study_id)
    assert (first.state, first.status_reason) == (TrialState.SUPERSEDED, "more_seeds")
    assert len(others) == 2
    for trial in others:
        runs = await lab.runs_of(trial)
        assert [run.seed for run in runs] == [0, 1, 7]
        assert {run.spec["training"]["steps"] for run in runs} == {300}


async def test_a_trial_in_flight_goes_on_afterwards(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(base=base(), concurrency=1, budget={"trials": 1}))
    await lab.broker.advance(study_id)

    await extend(lab, study_id, training_steps=300)
    await lab.carry_out(study_id)

    states = [trial.state for trial in await lab.trials(study_id)]
    assert states == [TrialState.SUPERSEDED, TrialState.COMPLETED]


async def test_a_trial_that_failed_to_go_on_can_be_tried_again(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(base=base(), budget={"trials": 1}))
    await lab.carry_out(study_id)
    await extend(lab, study_id, training_steps=300)
    await lab.broker.advance(study_id)
    for run in await lab.queued():
        await lab.end_one(run, RunState.FAILED)
    await lab.broker.advance(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.retry_failed(session, study_id)
    await lab.carry_out(study_id)

    states = [trial.state for trial in await lab.trials(study_id)]
    assert states == [TrialState.SUPERSEDED, TrialState.FAILED, TrialState.COMPLETED]


async def test_a_budget_of_steps_grows_by_what_the_trainings_still_need(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(base=base(), concurrency=1, budget={"steps": 600}))
    await lab.carry_out(study_id)

    extended = await extend(lab, study_id, training_steps=300)
    assert extended.steps_wanted == 600 + 6 * 200

    study = await lab.carry_out(study_id)
    trials = await lab.trials(study_id)
    assert study.status_message == (
        "3 trials are completed, 1,800 of 1,800 training steps are spent"
    )
    assert points.count_steps(trials) == 1800


async def test_the_search_of_a_range_goes_on_with_more_steps(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    submitted = spec_of(base=base(seeds=(0,)), sampler="range", budget={"trials": 6})
    study_id = await lab.submit(submitted)
    await carry_out_unsettled(lab, study_id)
    before = await lab.trials(study_id)
    assert {trial.point["training.steps"] for trial in before} == {100}

    extended = await extend(lab, study_id, training_steps=200)
    study = await carry_out_unsettled(lab, study_id)

    trials = await lab.trials(study_id)
    longer = [trial for trial in trials if trial.point["training.steps"] == 200]
    assert extended.trials_wanted == 12  # one more for each training
    assert study.state is StudyState.COMPLETED
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 12
    assert len(longer) >= 3
    assert _weights(longer) & _weights(before)  # these trainings go on
    assert forms.study_spec(study.spec) == submitted
    assert isinstance(study.range, StudyRange)
    assert study.range.steps == 200
    assert [at.steps for at in study.range.by_steps] == [100, 200]


async def carry_out_unsettled(lab: "Lab", study_id: UUID) -> Study:
    """Carry out a study whose band is 0.1 to 10, and whose trainings have not settled."""

    async def end(run: Run) -> None:
        await lab.begin(run)
        beta = run.spec["model"]["beta"]
        regime = Regime.CLEAN if 0.1 < beta < 10 else Regime.UNDER_REGULARISED
        final = lab.evaluation(100, 0.9, Regime.COLLAPSED if beta > 10 else regime)
        told = lab.result(run, 0.9).model_copy(update={"final": final, "settled": False})
        await lab.end(run, told)

    return await lab.carry_out(study_id, end)


def _weights(trials: list[Trial]) -> set[Value]:
    return {trial.point["model.beta"] for trial in trials}


async def test_trials_that_are_named_extend_a_range_by_their_own_number(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(base=base(seeds=(0,)), sampler="range", budget={"trials": 3})
    study_id = await lab.submit(spec)
    await lab.carry_out(study_id)

    extended = await extend(lab, study_id, training_steps=400, trials=2)

    assert (extended.trials_wanted, extended.training_steps_wanted) == (5, 400)


@pytest.mark.parametrize(
    ("sampler", "steps", "words"),
    [
        ("range", 100, "training_steps is 100; allowed: more than 100"),
        ("random", 99, "training_steps is 99; allowed: more than 100"),
    ],
)
async def test_steps_that_the_trainings_cannot_have_are_refused(
    lab: "Lab", spec_of: "SpecOf", sampler: str, steps: int, words: str
) -> None:
    study_id = await lab.submit(spec_of(base=base(), sampler=sampler))

    with pytest.raises(Conflict, match=f"cannot train longer: {words}"):
        await extend(lab, study_id, training_steps=steps)

    assert (await lab.study(study_id)).training_steps_wanted is None


async def test_a_budget_of_steps_can_be_extended_like_that_of_trials(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(base=base(), concurrency=1, budget={"steps": 400}))
    await lab.carry_out(study_id)

    extended = await extend(lab, study_id, budget_steps=500)
    assert (extended.steps_wanted, extended.trials_wanted) == (900, 2 + 3)

    study = await lab.carry_out(study_id)
    assert study.status_message == (
        "5 trials are completed, 1,000 of 900 training steps are spent"
    )


async def test_both_budgets_grow_by_their_own_numbers(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(base=base(), budget={"steps": 400, "trials": 2}))

    extended = await extend(lab, study_id, budget_steps=500, trials=1)

    assert (extended.steps_wanted, extended.trials_wanted) == (900, 3)


async def test_a_study_without_a_budget_of_steps_is_extended_by_trials_alone(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of())

    with pytest.raises(Conflict, match=r"budget_steps is 500, .* of 3 trials and none of steps"):
        await extend(lab, study_id, budget_steps=500)
