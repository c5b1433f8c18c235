"""The arrows between states: functions of storage and queue walk each of them, and no other."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from procrastinate import App
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import StudySpec
from service import queue
from service.settings import Settings
from service.storage import runs, studies, study_extensions
from service.storage.database import Database
from service.storage.errors import Conflict, RunLost
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Run

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Trials

OVER_S = -1.0
REFUSALS = (RunLost, Conflict, AssertionError)

RunAction = Callable[[AsyncSession, Run], Awaitable[object]]


def run_actions(app: App, settings: Settings) -> list[RunAction]:
    """Everything that is done to runs; their leases are over, their jobs came to nothing."""

    async def rescue(session: AsyncSession, run: Run, most_attempts: int = 5) -> None:
        statement = "update queue.procrastinate_jobs set status = 'failed' where id = :id"
        await session.execute(text(statement), {"id": run.job_id})
        impatient = settings.model_copy(update={"max_attempts": most_attempts})
        await queue.rescue(app, session, impatient)

    async def prune(session: AsyncSession, run: Run) -> None:
        if not run.state.is_final:
            await runs.request_prune(session, run, "worse", "it is worse than others")
        await runs.finish_on_request(session, run.id, run.attempt)

    async def prune_and_rescue(session: AsyncSession, run: Run) -> None:
        with suppress(RunLost):
            await runs.request_prune(session, run, "worse", "it is worse than others")
        await rescue(session, run)

    return [
        lambda session, run: runs.claim(session, run.id, "agent", OVER_S),
        lambda session, run: runs.renew(session, run.id, run.attempt, OVER_S),
        lambda session, run: runs.finish(session, run.id, run.attempt, RunState.SUCCEEDED),
        lambda session, run: runs.finish(session, run.id, run.attempt, RunState.FAILED),
        lambda session, run: runs.finish_on_request(session, run.id, run.attempt),
        lambda session, run: queue.release(
            app, session, run.id, run.attempt, reason="agent_stopped", message="given back"
        ),
        lambda session, run: runs.count_loss(session, run.id, run.attempt),
        lambda session, run: runs.request_cancel(session, run.id),
        prune,
        rescue,
        lambda session, run: rescue(session, run, most_attempts=1),
        prune_and_rescue,
    ]


@pytest.mark.parametrize("state", RunState)
async def test_a_run_becomes_what_may_follow_its_state(
    state: RunState,
    submit: "Submitter",
    spec_of: "SpecMaker",
    database: Database,
    app: App,
    settings: Settings,
) -> None:
    reached = set()
    for action in run_actions(app, settings):
        run_id = (await submit(spec_of(), force=True)).runs[0].id
        async with database.transaction() as session:
            if state is not RunState.QUEUED:
                await runs.claim(session, run_id, "agent", OVER_S)
            if state.is_final:
                await runs.finish(session, run_id, 1, state)
        async with database.transaction() as session:
            before = len(await runs.transitions_of(session, run_id))

        with suppress(*REFUSALS):
            async with database.transaction() as session:
                await action(session, await runs.get(session, run_id))

        async with database.transaction() as session:
            changes = (await runs.transitions_of(session, run_id))[before:]
        assert len(changes) <= 1
        reached |= {change.state for change in changes}

    assert reached == state.next_states


StudyAction = Callable[[AsyncSession, Study], Awaitable[object]]
STUDY_ACTIONS: list[StudyAction] = [
    lambda session, study: studies.pause(session, study.id),
    lambda session, study: studies.resume(session, study.id),
    lambda session, study: studies.cancel(session, study.id),
    lambda session, study: study_extensions.extend(session, study.id, trials=1),
    lambda session, study: study_extensions.retry_failed(session, study.id),
    lambda session, study: studies.give_up(session, study.id, "it raises errors"),
    lambda session, study: studies.end(session, study, StudyState.COMPLETED, "budget_spent", "-"),
    lambda session, study: studies.end(session, study, StudyState.FAILED, "trials_fail", "-"),
]


async def new_study(database: Database, study_of: "StudyMaker") -> Study:
    async with database.transaction() as session:
        return await studies.create(session, StudySpec.model_validate(study_of()), "d" * 64)


@pytest.mark.parametrize("state", StudyState)
async def test_a_study_becomes_what_may_follow_its_state(
    state: StudyState, database: Database, study_of: "StudyMaker"
) -> None:
    reached = set()
    for action in STUDY_ACTIONS:
        study_id = (await new_study(database, study_of)).id
        async with database.transaction() as session:
            if state is StudyState.PAUSED:
                await studies.pause(session, study_id)
            elif state is not StudyState.RUNNING:
                study = await studies.locked(session, study_id)
                await studies.end(session, study, state, "reason", "message")

        with suppress(*REFUSALS):
            async with database.transaction() as session:
                await action(session, await studies.locked(session, study_id))

        async with database.transaction() as session:
            reached.add((await studies.get(session, study_id)).state)

    assert reached - {state} == state.next_states


@pytest.mark.parametrize("state", TrialState)
async def test_a_trial_becomes_what_may_follow_its_state(
    state: TrialState, database: Database, study_of: "StudyMaker", trials: "Trials"
) -> None:
    study_id = (await new_study(database, study_of)).id

    async def become(session: AsyncSession, trial: Trial, new: TrialState) -> None:
        if new is TrialState.SUPERSEDED:
            await studies.supersede(session, trial, by=trial)
        else:
            values = [0.5] if new is TrialState.COMPLETED else None
            await studies.end_trial(session, trial, new, values=values, measured=None)

    reached = set()
    ends = [new for new in TrialState if new is not TrialState.RUNNING]
    for place, new in enumerate(ends):
        trial = await trials.begin(study_id, beta=1.0 + place)
        async with database.transaction() as session:
            trial = await session.merge(trial)
            if state is TrialState.SUPERSEDED:
                await become(session, trial, TrialState.COMPLETED)
            if state is not TrialState.RUNNING:
                await become(session, trial, state)

        with suppress(*REFUSALS):
            async with database.transaction() as session:
                await become(session, await session.merge(trial), new)

        async with database.transaction() as session:
            reached.add((await studies.trials_of(session, study_id))[place].state)

    assert reached - {state} == state.next_states
