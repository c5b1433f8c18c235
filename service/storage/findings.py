"""The findings of runs that have succeeded: which are to come, who makes them, how that ended.

Everything that is stored about them is fenced by the number of the attempt, as for runs. An
attempt counts as lost from its beginning until the findings end or it is given back, so that
nobody has to look for makers that died: their lease runs out, and the next attempt begins.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, false, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import RESULT_FILE, ArtifactSaved, Result
from service.storage import agents, artifacts, metrics, runs
from service.storage.errors import Conflict, RunLost
from service.storage.runs import from_now
from service.storage.states import FindingsState
from service.storage.tables import FindingsRow, Run, Tracking

#: Pause after a lost attempt for each that was lost so far, so that a full disk may be emptied.
AGAIN_S = 5.0


@dataclass(frozen=True)
class Claimed:
    """An attempt to make the findings of a run."""

    run_id: UUID
    attempt: int
    #: The attempt of the run itself that succeeded, in whose folder the findings belong.
    run_attempt: int
    #: Whether somebody asked for them and may be waiting.
    is_asked_for: bool


async def claim(
    session: AsyncSession,
    datasets: Collection[str],
    lease_s: float,
    *,
    max_attempts: int,
    only_asked_for: bool = False,
    codes: Collection[str] = (),
) -> Claimed | None:
    """Begin an attempt at the findings that are to be made next; None if there are none.

    Those that somebody asked for come first, then those of the run that ended first. Where no
    agent offers their dataset, or the code of their model, they wait for one, unless somebody
    asked for them: then they fail and say why.

    Args:
        session: A transaction.
        datasets: Digests of the datasets of this machine.
        lease_s: Seconds for which nobody else may begin an attempt.
        max_attempts: Number of lost attempts at which findings fail.
        only_asked_for: Whether to take only those that somebody asked for.
        codes: Digests of the code of the models of users that this machine allows.
    """
    is_asked_for = FindingsRow.asked_at.is_not(None)
    is_free = and_(_is_free(), is_asked_for if only_asked_for else true())
    if not await session.scalar(select(exists().where(is_free))):
        return None
    able = [
        _fits(agent.datasets.values(), agents.models_of(agent).packages.values())
        for agent in await agents.seen_lately(session)
    ]
    is_unoffered = ~or_(false(), *able)
    is_possible = or_(_fits(datasets, codes), and_(is_asked_for, is_unoffered))
    query = (
        select(FindingsRow, Run.attempt)
        .join(Run, Run.id == FindingsRow.run_id)
        .where(is_free, is_possible)
        .order_by(FindingsRow.asked_at.asc().nulls_last(), Run.finished_at)
        .limit(1)
        .with_for_update(of=FindingsRow, skip_locked=True)
    )
    found = (await session.execute(query)).first()
    if found is None:
        return None
    row, run_attempt = found
    if row.losses >= max_attempts:
        message = f"{row.losses} attempts died without a word; see the agents' logs"
        _end(row, FindingsState.FAILED, "attempts_exhausted", row.message or message)
        return None
    row.attempt, row.losses = row.attempt + 1, row.losses + 1
    row.lease_until = from_now(lease_s)
    return Claimed(row.run_id, row.attempt, run_attempt, row.asked_at is not None)


def _fits(datasets: Collection[str], codes: Collection[str]) -> ColumnElement[bool]:
    """Whether a run's dataset is one of these, and its model ours or of one of these codes."""
    code = Run.spec["model"]["code"].astext
    return and_(Run.dataset_digest.in_(datasets), or_(code.is_(None), code.in_(codes)))


async def renew(
    session: AsyncSession,
    run_id: UUID,
    attempt: int,
    datasets: Collection[str],
    lease_s: float,
    *,
    codes: Collection[str] = (),
) -> bool:
    """Renew the lease of an attempt, and return whether a patient maker keeps somebody waiting.

    That is so if somebody has asked for these findings, or for others that this machine could make
    and that nobody makes.

    Raises:
        RunLost: there is a later attempt, or none is needed any more.
    """
    row = await _mine(session, run_id, attempt)
    row.lease_until = from_now(lease_s)
    others = (
        select(FindingsRow)
        .join(Run, Run.id == FindingsRow.run_id)
        .where(_is_free(), FindingsRow.asked_at.is_not(None), _fits(datasets, codes))
    )
    return row.asked_at is not None or bool(await session.scalar(select(others.exists())))


async def record(
    session: AsyncSession,
    run_id: UUID,
    attempt: int,
    files: Iterable[ArtifactSaved],
    result: Result,
) -> None:
    """Store findings that are made; the paths of the files are relative to the artifact folder.

    Raises:
        RunLost: there is a later attempt, or none is needed any more.
        Conflict: the result differs from the run's own in more than findings add, because the
            files of the run were changed or replaced by those of another; nothing is stored.
    """
    row = await _mine(session, run_id, attempt)
    run = await session.get_one(Run, run_id)
    if differing := Result.model_validate(run.result).differences(result):
        raise Conflict(
            f"the files of this run are no longer those of its end: {RESULT_FILE} has another "
            f"{', '.join(differing)}; restore them to have its findings made"
        )
    for file in files:
        await artifacts.add(session, run_id, run.attempt, file)
    run.result = result.model_dump(mode="json")
    if result.summary is not None:
        scalars = result.summary.scalars()
        await metrics.add(session, run_id, run.attempt, result.steps, scalars)
    _end(row, FindingsState.MADE)


async def give_back(session: AsyncSession, run_id: UUID, attempt: int) -> None:
    """Give up an attempt for a reason that has nothing to do with it; it does not count as lost.

    Raises:
        RunLost: there is a later attempt, or none is needed any more.
    """
    row = await _mine(session, run_id, attempt)
    row.losses, row.lease_until = row.losses - 1, None


async def lose(
    session: AsyncSession, run_id: UUID, attempt: int, reason: str, message: str
) -> None:
    """Note why an attempt was lost, and let the next begin after a pause.

    Raises:
        RunLost: there is a later attempt, or none is needed any more.
    """
    row = await _mine(session, run_id, attempt)
    row.reason, row.message = reason, message
    row.lease_until = from_now(AGAIN_S * row.losses)


async def fail(
    session: AsyncSession, run_id: UUID, attempt: int, reason: str, message: str
) -> None:
    """End findings that cannot be made; the run stays as it is.

    Raises:
        RunLost: there is a later attempt, or none is needed any more.
    """
    _end(await _mine(session, run_id, attempt), FindingsState.FAILED, reason, message)


async def ask(session: AsyncSession, run_id: UUID) -> FindingsRow:
    """Let findings be made before those that nobody asked for; failed ones are tried again.

    Raises:
        NotFound: no run has this id.
        Conflict: the run has no findings to come: it has not succeeded, or an earlier version
            made all of it.
    """
    run = await runs.get(session, run_id)
    row = await _locked(session, run_id)
    if row is None:
        raise Conflict(f"run {run_id} is {run.state} and has no findings to come")
    if row.state is FindingsState.FAILED:
        row.state, row.losses, row.lease_until = FindingsState.TO_COME, 0, None
        row.reason = row.message = None
        # MLflow has been told that they failed, and is to be told how they end now.
        again = update(Tracking).where(Tracking.run_id == run_id).values(complete=False)
        await session.execute(again)
    if row.state is FindingsState.TO_COME:
        row.asked_at = row.asked_at or await session.scalar(select(func.now()))
    await session.flush()
    return row


async def of_run(session: AsyncSession, run_id: UUID) -> FindingsRow | None:
    """The findings of a run; None for a run without findings to come."""
    return await session.get(FindingsRow, run_id)


async def still_are(session: AsyncSession, seen: FindingsRow) -> bool:
    """Whether findings are as they were seen; if so, they stay so until the commit."""
    row = await _locked(session, seen.run_id)
    return row is not None and (row.state, row.attempt) == (seen.state, seen.attempt)


def _is_free() -> ColumnElement[bool]:
    """Whether findings are to come and nobody makes them."""
    return and_(
        FindingsRow.state == FindingsState.TO_COME,
        or_(FindingsRow.lease_until.is_(None), FindingsRow.lease_until < func.now()),
    )


async def _locked(session: AsyncSession, run_id: UUID) -> FindingsRow | None:
    """The row as it is now, whatever the session has read before, locked until the commit."""
    return await session.get(FindingsRow, run_id, with_for_update=True, populate_existing=True)


async def _mine(session: AsyncSession, run_id: UUID, attempt: int) -> FindingsRow:
    """The row of an attempt that goes on, locked until the commit."""
    row = await _locked(session, run_id)
    if row is None or (row.state, row.attempt) != (FindingsState.TO_COME, attempt):
        raise RunLost(f"the findings of run {run_id} are no longer attempt {attempt}'s")
    return row


def _end(
    row: FindingsRow, state: FindingsState, reason: str | None = None, message: str | None = None
) -> None:
    row.state, row.reason, row.message = state, reason, message
    row.losses, row.lease_until, row.asked_at = 0, None, None
