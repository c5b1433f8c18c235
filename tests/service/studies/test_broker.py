"""The broker against a real Postgres; agents only pretend, Optuna's own tables are in memory."""

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage

from polar.records.ranges import StudyRange
from service.storage import studies, study_extensions
from service.storage.errors import Conflict
from service.storage.states import RunState, StudyState, TrialState
from service.studies.broker import Broker
from service.studies.due import MOST_FAILURES

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf


async def test_a_study_ends_with_as_many_completed_trials_as_were_asked_for(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(budget={"trials": 5})
    study_id = await lab.submit(spec)

    study = await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    assert (study.state, study.status_reason) == (StudyState.COMPLETED, "budget_spent")
    assert [trial.state for trial in trials] == [TrialState.COMPLETED] * 5
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4]
    assert len({trial.point["model.beta"] for trial in trials}) == 5


async def test_optuna_is_told_what_our_tables_say(lab: "Lab", spec_of: "SpecOf") -> None:
    spec = spec_of()
    study_id = await lab.submit(spec)

    await lab.carry_out(study_id)

    ours, theirs = await lab.trials(study_id), lab.optuna_trials(study_id, spec)
    assert [trial.values for trial in ours] == [trial.values for trial in theirs]
    assert [trial.point for trial in ours] == [trial.params for trial in theirs]
    assert [str(trial.experiment_id) for trial in ours] == [
        trial.user_attrs["experiment_id"] for trial in theirs
    ]
    assert theirs[0].user_attrs["regimes"] == ["clean", "clean"]


async def test_the_value_of_a_trial_is_the_mean_of_its_seeds(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of())

    await lab.carry_out(study_id)

    for trial in await lab.trials(study_id):
        best = math.exp(-(math.log10(float(trial.point["model.beta"])) ** 2))
        # seeds 0 and 1 differ by 0.01, but for what is below 0
        assert trial.values == pytest.approx([(best + max(best - 0.01, 0)) / 2], abs=1e-12)


async def test_no_more_trials_are_in_flight_than_allowed(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(concurrency=2, budget={"trials": 9}))

    for _ in range(3):
        await lab.broker.advance(study_id)

    assert len(await lab.trials(study_id)) == 2
    assert len(await lab.queued()) == 4  # two seeds each


async def test_a_step_without_news_changes_nothing(lab: "Lab", spec_of: "SpecOf") -> None:
    spec = spec_of()
    study_id = await lab.submit(spec)
    await lab.broker.advance(study_id)
    before = [(trial.number, trial.point, trial.state) for trial in await lab.trials(study_id)]

    await asyncio.gather(*(lab.broker.advance(study_id) for _ in range(5)))

    after = [(trial.number, trial.point, trial.state) for trial in await lab.trials(study_id)]
    assert after == before
    assert len(lab.optuna_trials(study_id, spec)) == len(before)


async def test_failed_trials_do_not_count_and_only_they_are_tried_again(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(concurrency=1)
    study_id = await lab.submit(spec)
    await lab.broker.advance(study_id)
    first, second = await lab.queued()
    await lab.end_one(first)
    await lab.end_one(second, RunState.FAILED)

    await lab.carry_out(study_id)
    async with lab.database.transaction() as session:
        await study_extensions.retry_failed(session, study_id)
    study = await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    assert study.state is StudyState.COMPLETED
    assert [trial.state for trial in trials] == [
        TrialState.FAILED,
        *[TrialState.COMPLETED] * 4,
    ]
    assert trials[4].point == trials[0].point
    assert lab.optuna_trials(study_id, spec)[0].state is optuna.trial.TrialState.FAIL
    with pytest.raises(Conflict, match="no failed trial"):
        async with lab.database.transaction() as session:
            await study_extensions.retry_failed(session, study_id)


async def test_a_study_whose_trials_only_fail_gives_up(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(concurrency=1, budget={"trials": 50}))

    for _ in range(MOST_FAILURES):
        await lab.broker.advance(study_id)
        for run in await lab.queued():
            await lab.end_one(run, RunState.FAILED)
    await lab.broker.advance(study_id)

    study = await lab.study(study_id)
    assert (study.state, study.status_reason) == (StudyState.FAILED, "trials_fail")
    assert len(await lab.trials(study_id)) == MOST_FAILURES


async def test_a_paused_study_begins_nothing_and_goes_on_when_resumed(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(spec_of(concurrency=1))
    await lab.broker.advance(study_id)
    async with lab.database.transaction() as session:
        await studies.pause(session, study_id)

    for run in await lab.queued():
        await lab.end_one(run)
    await lab.broker.advance(study_id)

    (trial,) = await lab.trials(study_id)
    assert trial.state is TrialState.COMPLETED  # what was in flight counts
    async with lab.database.transaction() as session:
        await studies.resume(session, study_id)
    assert (await lab.carry_out(study_id)).state is StudyState.COMPLETED


async def test_a_study_can_be_extended_after_its_end(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of())
    await lab.carry_out(study_id)

    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, trials=2)
    study = await lab.carry_out(study_id)

    assert study.state is StudyState.COMPLETED
    assert len(await lab.trials(study_id)) == 5


async def test_a_study_whose_hours_are_over_begins_no_trial_and_ends(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    hours = {"trials": 50, "hours": 1e-4}  # 0.36 s
    study_id = await lab.submit(spec_of(concurrency=1, budget=hours))
    await lab.broker.advance(study_id)
    await asyncio.sleep(0.4)

    await lab.broker.advance(study_id)
    in_flight = await lab.study(study_id)
    for run in await lab.queued():
        await lab.end_one(run)
    await lab.broker.advance(study_id)

    study, (trial,) = await lab.study(study_id), await lab.trials(study_id)
    assert in_flight.state is StudyState.RUNNING
    assert trial.state is TrialState.COMPLETED
    assert (study.state, study.status_reason) == (StudyState.COMPLETED, "time_over")


async def test_a_cancelled_study_begins_nothing_and_keeps_what_it_has(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(concurrency=1)
    study_id = await lab.submit(spec)
    await lab.broker.advance(study_id)
    async with lab.database.transaction() as session:
        in_flight = await studies.cancel(session, study_id)

    for run in await lab.queued():
        await lab.end_one(run, RunState.CANCELLED)
    await lab.broker.advance_all()

    (trial,) = await lab.trials(study_id)
    assert in_flight == [trial.experiment_id]
    assert trial.state is TrialState.CANCELLED
    assert lab.optuna_trials(study_id, spec)[0].state is optuna.trial.TrialState.FAIL
    for change in (studies.pause, studies.resume, study_extensions.retry_failed):
        with pytest.raises(Conflict):
            async with lab.database.transaction() as session:
                await change(session, study_id)


async def test_a_space_of_few_points_ends_when_all_are_tried(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    axes = {"model.latent_dim": {"choices": [2, 3, 4]}}
    study_id = await lab.submit(spec_of(search=axes, budget={"trials": 50}))

    study = await lab.carry_out(study_id)

    trials = await lab.trials(study_id)
    assert (study.state, study.status_reason) == (StudyState.COMPLETED, "exhausted")
    assert sorted(trial.point["model.latent_dim"] for trial in trials) == [2, 3, 4]


@pytest.mark.parametrize("sampler", ["range", "tpe", "gp", "random", "grid", "nsga2", "qmc"])
async def test_every_sampler_carries_a_study_out_without_a_point_twice(
    lab: "Lab", spec_of: "SpecOf", sampler: str
) -> None:
    axes = {"model.beta": {"log_uniform": [0.01, 100], "points": 6}}
    study_id = await lab.submit(spec_of(search=axes, sampler=sampler, budget={"trials": 6}))

    study = await lab.carry_out(study_id)

    betas = [float(trial.point["model.beta"]) for trial in await lab.trials(study_id)]
    assert study.state is StudyState.COMPLETED
    assert len(betas) == len(set(betas)) == 6
    assert all(0.01 <= beta <= 100 for beta in betas)


async def test_a_study_says_how_far_its_range_is_known(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of(sampler="range"))

    await lab.broker.advance(study_id)
    before = (await lab.study(study_id)).range
    study = await lab.carry_out(study_id)

    assert before is None
    assert isinstance(study.range, StudyRange)
    trials = await lab.trials(study_id)
    assert (study.range.outcome, study.range.trainings) == ("open", 3)  # all are clean
    assert study.range.seeds == tuple(sorted({trial.point["seed"] for trial in trials}))


async def test_a_study_that_cannot_advance_does_not_stop_the_others(
    lab: "Lab", spec_of: "SpecOf", caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = await lab.submit(spec_of()), await lab.submit(spec_of())
    async with lab.database.transaction() as session:
        (await studies.get(session, broken)).spec = {"of": "another version"}

    await lab.broker.advance_all()
    await lab.broker.advance_all()

    assert len(await lab.trials(sound)) == 3
    assert await lab.trials(broken) == []
    told = [record for record in caplog.records if str(broken) in record.getMessage()]
    assert len(told) == 1  # not at every step


async def test_several_objectives_are_told_together(lab: "Lab", spec_of: "SpecOf") -> None:
    spec = spec_of(
        sampler="nsga2",
        objectives=["explained", {"measure": "n_active", "target": 3}],
        constraints=[{"measure": "explained", "at_least": 0.95}],
    )
    study_id = await lab.submit(spec)

    await lab.carry_out(study_id)

    trials = lab.optuna_trials(study_id, spec)
    assert [trial.values for trial in trials] == [[0.9, 2.0]] * 3
    missed = {"explained at least 0.95": pytest.approx(0.05)}
    assert [trial.constraints for trial in trials] == [missed] * 3


class Killed(BaseException):
    """The broker's process is gone."""


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 25), min_size=1, max_size=3))
async def test_a_broker_that_is_killed_between_any_two_statements_loses_and_doubles_nothing(
    lab: "Lab", spec_of: "SpecOf", monkeypatch: pytest.MonkeyPatch, kills: list[int]
) -> None:
    spec = spec_of(concurrency=2)
    study_id = await lab.submit(spec)

    for kill in kills:
        with monkeypatch.context() as patch:
            _die_after(patch, kill)
            try:
                await lab.carry_out(study_id)
            except Killed:
                lab.broker = Broker(lab.database, lab.broker._queue, lab.storage)
    study = await lab.carry_out(study_id)

    ours, theirs = await lab.trials(study_id), lab.optuna_trials(study_id, spec)
    assert study.state is StudyState.COMPLETED
    assert [trial.state for trial in ours] == [TrialState.COMPLETED] * 3
    told = {trial.number: trial.values for trial in theirs if trial.values is not None}
    assert told == {trial.number: trial.values for trial in ours}
    assert not [trial for trial in theirs if trial.state is optuna.trial.TrialState.RUNNING]


def _die_after(patch: pytest.MonkeyPatch, calls: int) -> None:
    """Lets so many of the calls through that change something in either database."""
    left = iter(range(calls))

    def mortal(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
            if next(left, None) is None:
                raise Killed
            return function(*arguments, **named)

        return call

    for name in ("create_new_trial", "set_trial_param", "set_trial_state_values"):
        patch.setattr(InMemoryStorage, name, mortal(getattr(InMemoryStorage, name)))
    for name in ("begin_trial", "end_trial", "end"):
        patch.setattr(studies, name, mortal(getattr(studies, name)))
