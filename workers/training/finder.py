"""Has the findings of finished runs made while the agent of this slot has nothing to train.

The work is done by a child of low priority that stays for a while. If this process or the child is
killed, the lease of the findings runs out and somebody makes them again, which gives the same.
"""

import asyncio
import logging
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import ArtifactSaved, Result
from polar.spec.own_models import installed_here
from service.processes import ONE_THREAD, die_with_parent, without_secrets
from service.programs import Program, python
from service.settings import Settings
from service.storage import findings
from service.storage.errors import Conflict, DatabaseAway, RunLost
from service.storage.findings import Claimed
from service.storage.texts import printable
from workers.training.messages import BUG, MACHINE_FAULT, Failure, from_line
from workers.training.offer import available_datasets
from workers.training.patience import PatientDatabase
from workers.training.process import LINE_LIMIT
from workers.training.retry import PAUSED

FINDINGS_CHILD = python(Program.FINDINGS_CHILD)
#: How often it looks for findings to make.
POLL_S = 5.0
#: How long a child waits for more findings before it has to go.
KEPT_S = 20.0
#: Longest time for the findings of a run, far above what any of them takes at low priority.
LIMIT_S = 3600.0
#: Priority of the child as a nice value: the lowest, unless somebody waits for the findings.
PATIENT, URGENT = 19, 0
#: The reason of findings whose run has other files than at its end.
FILES_CHANGED = "files_changed"

_log = logging.getLogger(__name__)


class _Lost(Exception):
    """The child has ended without an answer."""


@dataclass(frozen=True)
class _Answer:
    """What the child says of one run; the paths are relative to the artifact folder."""

    files: Sequence[ArtifactSaved]
    end: Result | Failure


class Finder:
    """`work` has findings made until it is cancelled."""

    def __init__(
        self,
        settings: Settings,
        database: PatientDatabase,
        *,
        is_training: Callable[[], bool],
        is_well: Callable[[], bool],
        command: Sequence[str] = FINDINGS_CHILD,
    ) -> None:
        """Prepare for work.

        Args:
            settings: Leases, number of attempts and the artifact folder.
            database: The agent's database.
            is_training: Whether the slot is in use; then only findings are made that somebody
                asked for.
            is_well: Whether the machine works; if not, no findings are made.
            command: What the child runs; the nice value is added to it.
        """
        self._settings = settings
        self._database = database
        self._is_training = is_training
        self._is_well = is_well
        self._command = command
        self._artifacts = settings.artifacts.resolve()
        self._datasets: Collection[str] = ()
        self._child: Process | None = None
        self._niceness = PATIENT
        self._used_at = 0.0
        self._was_free = False

    async def work(self) -> None:
        """Have findings made, those that were asked for first."""
        try:
            while True:
                if await self._make_next():
                    continue
                if self._is_training() or time.monotonic() > self._used_at + KEPT_S:
                    await self._dismiss()
                await asyncio.sleep(POLL_S)
        finally:
            await self._dismiss()

    async def _make_next(self) -> bool:
        """Have the findings made that are due; returns whether there were any."""
        try:
            if self._is_well() and (claimed := await self._claim()):
                await self._attend(claimed)
                return True
        except DatabaseAway:
            pass
        except Exception:  # it must not end the agent, which may be training
            _log.exception("findings: the finder failed")
        return False

    async def _claim(self) -> Claimed | None:
        # Between two runs a slot is free for a moment, so it has to be free at two looks in a row.
        was_free, self._was_free = self._was_free, not self._is_training()
        self._datasets = (await asyncio.to_thread(available_datasets)).values()
        claim = partial(
            findings.claim,
            datasets=self._datasets,
            lease_s=self._settings.lease_s,
            max_attempts=self._settings.max_attempts,
            only_asked_for=not (was_free and self._was_free),
            codes=(await asyncio.to_thread(installed_here)).values(),
        )
        claiming = asyncio.create_task(self._database.once(claim))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:  # what it has claimed by now would be held for nothing
            await asyncio.wait([claiming])
            if not claiming.exception() and (claimed := claiming.result()):
                await self._give_back(claimed)
            raise

    async def _attend(self, claimed: Claimed) -> None:
        """Have claimed findings made, and store how that ended."""
        with suppress(RunLost):  # somebody else makes them, too, and they are the same
            try:
                if answer := await self._answer_while_held(claimed):
                    await self._store(claimed, answer)
                else:
                    await self._give_back(claimed)
            except RunLost:
                raise
            except asyncio.CancelledError:
                await self._give_back(claimed)
                raise
            except Exception as error:
                _log.exception("findings failed in their agent", extra={"run": claimed.run_id})
                await self._dismiss()  # it may have more to say of this run
                await self._store(claimed, _Answer([], Failure.of(error)))

    async def _store(self, claimed: Claimed, answer: _Answer) -> None:
        said = await self._database.until_done(lambda session: _record(session, claimed, answer))
        _log.info("findings: %s", said, extra={"run": claimed.run_id})

    async def _give_back(self, claimed: Claimed) -> None:
        with suppress(DatabaseAway, RunLost):
            await self._database.once(
                lambda session: findings.give_back(session, claimed.run_id, claimed.attempt)
            )

    async def _answer_while_held(self, claimed: Claimed) -> _Answer | None:
        """What the child makes of a run while the lease is renewed, which ends with the lease.

        None if somebody has asked for these or other findings while a patient child was making
        them: another child is to make first what was asked for.

        Raises:
            RunLost: the lease is lost.
        """
        answering = asyncio.create_task(self._answer(claimed))
        try:
            while not (await asyncio.wait([answering], timeout=self._settings.renew_s))[0]:
                if await self._renew(claimed) and not claimed.is_asked_for:
                    return None
            return answering.result()
        finally:
            if not answering.done():
                answering.cancel()
                await asyncio.wait([answering])
                await self._dismiss()

    async def _renew(self, claimed: Claimed) -> bool:
        """Renew the lease; returns whether a patient child is known to keep somebody waiting."""
        mine = (claimed.run_id, claimed.attempt, self._datasets, self._settings.lease_s)
        codes = (await asyncio.to_thread(installed_here)).values()
        with suppress(DatabaseAway):
            return await self._database.once(
                lambda session: findings.renew(session, *mine, codes=codes)
            )
        return False

    async def _answer(self, claimed: Claimed) -> _Answer:
        """What the child makes of a run, whatever happens to it."""
        try:
            async with asyncio.timeout(LIMIT_S):
                return await self._ask(claimed)
        except TimeoutError:
            why = f"they took longer than {LIMIT_S:.0f} s"
            failure = Failure(error=MACHINE_FAULT, message=why)
        except (_Lost, OSError) as error:
            failure = Failure(error=MACHINE_FAULT, message=str(error))
        except ValueError as error:  # this includes pydantic's ValidationError
            why = f"the child wrote a line that is not an event of this run: {error}"
            failure = Failure(error=BUG, message=printable(why))
        await self._dismiss()
        return _Answer([], failure)

    async def _ask(self, claimed: Claimed) -> _Answer:
        child = await self._child_of(URGENT if claimed.is_asked_for else PATIENT)
        assert child.stdin
        assert child.stdout
        attempt = f"attempt-{claimed.run_attempt}"
        folder = self._artifacts / "runs" / str(claimed.run_id) / attempt / "out"
        with suppress(ConnectionError):  # it has died: its output ends, too
            child.stdin.write(f"{folder}\n".encode())
            await child.stdin.drain()
        files = []
        while (line := await child.stdout.readline()).endswith(b"\n"):
            match from_line(line):
                case ArtifactSaved(name=name, path=path):
                    place = Path(path).relative_to(self._artifacts)
                    files.append(ArtifactSaved(name=name, path=str(place)))
                case Result() | Failure() as end:
                    self._used_at = time.monotonic()
                    return _Answer(files, end)
        code = await child.wait()
        raise _Lost(f"the process that makes findings has ended with code {code}")

    async def _child_of(self, niceness: int) -> Process:
        if self._child and self._child.returncode is None and self._niceness == niceness:
            return self._child
        await self._dismiss()
        self._niceness = niceness
        self._child = await asyncio.create_subprocess_exec(
            *self._command,
            str(niceness),
            stdin=PIPE,
            stdout=PIPE,
            limit=LINE_LIMIT,
            env=without_secrets() | ONE_THREAD,
            start_new_session=True,  # see `findings_child`
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        _log.info("started findings child %s", self._child.pid)
        return self._child

    async def _dismiss(self) -> None:
        child, self._child = self._child, None
        if child and child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()


async def _record(session: AsyncSession, claimed: Claimed, answer: _Answer) -> str:
    """Store how the making of findings has ended, and return it in words."""
    mine = (session, claimed.run_id, claimed.attempt)
    match answer.end:
        case Result() as result:
            try:
                await findings.record(*mine, answer.files, result)
            except Conflict as error:
                await findings.fail(*mine, FILES_CHANGED, str(error))
                return str(error)
            return "made"
        case Failure(error=error, message=message) if error in PAUSED:
            await findings.lose(*mine, error, message)
        case Failure(error=error, message=message):
            await findings.fail(*mine, error, message)
    return message
