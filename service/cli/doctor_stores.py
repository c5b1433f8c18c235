"""What `polar doctor` finds in the stores: the database, its queue, MLflow and Optuna."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from migrations.newest import newest_revision
from service import queue
from service.cli.checks import Check, Level, fault, ok, warning
from service.cli.doctor_machine import clock
from service.settings import Settings
from service.storage import agents, agreement, tracking
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.revisions import revision_of
from service.storage.roles import Role

#: The part of the possible connections from which the next program may get none.
MOST_CONNECTIONS = 0.8
#: Most ids that a sentence names.
NAMED = 3


@dataclass(frozen=True)
class Stores:
    """Looks at the stores, and mends what is safe to mend if it is asked to."""

    settings: Settings
    database: Database
    repair: bool
    #: Which code the API runs, with which that of agents is compared; None where it is not known.
    code_of_api: str | None

    async def checks(self) -> AsyncIterator[Check]:
        """All checks, from the database on; what cannot be looked at without it is left out."""
        try:
            async for check in self._of_database():
                yield check
            if check.level is Level.FAULT:  # no table can be relied on
                return
            yield await _seen("agents", self._agents)
            yield await _seen("queue", self._queue)
            yield await _seen("MLflow", self._mlflow)
            yield await _seen("Optuna", self._optuna)
        except DBAPIError as error:
            yield _unseen("schema", error)
        except DatabaseAway as error:
            do = "start it (`polar up` does), or correct POLAR_DATABASE_URL"
            yield fault("database", f"{error}; what it holds was not checked", do)

    async def _of_database(self) -> AsyncIterator[Check]:
        async with self.database.transaction() as session:
            version = await session.scalar(select(func.current_setting("server_version")))
            revision = await revision_of(session)
            used, most = await agreement.connections(session)
            now = await session.scalar(select(func.clock_timestamp()))
        yield ok("database", f"PostgreSQL {version} answers")
        if now is not None:
            yield clock("clock of the database", now, 0.0)
        says = f"{used} of {most}"
        if used > MOST_CONNECTIONS * most:
            do = "raise max_connections of Postgres, or lower POLAR_API_CONNECTIONS"
            yield warning("connections", says, do)
        else:
            yield ok("connections", says)
        newest = newest_revision()
        says = f"the database is at migration {revision}, this installation needs {newest}"
        if revision == newest:
            yield ok("schema", f"migration {newest}")
        else:
            do = "restart `polar up`, or run `python -m service.storage.migrate`"
            yield fault("schema", says, do)

    async def _agents(self) -> Check:
        async with self.database.transaction() as session:
            present = await agents.seen_lately(session, agents.AGENT_LASTS)
        faults = [f"{agent.name}: {agent.fault}" for agent in present if agent.fault]
        others = [
            f"{agent.name} runs {agent.code_version or 'an earlier version'}"
            for agent in present
            if self.code_of_api not in (None, agent.code_version)
        ]
        if not present:
            says = f"none was seen within {agents.AGENT_LASTS.seconds} s, so nothing is trained"
            return fault("agents", says, "`polar up`, or `python -m workers` on a machine")
        if len(faults) == len(present):
            return fault("agents", f"none takes runs: {'; '.join(faults)}", "mend what they say")
        if faults:
            return warning("agents", "; ".join((*faults, *others)), "mend what they say")
        if others:
            says = f"{'; '.join(others)}, and the API {self.code_of_api}"
            return warning("agents", says, "install one version everywhere, and restart")
        return ok("agents", f"{len(present)} take runs")

    async def _queue(self) -> Check:
        name = "queue"
        async with self.database.transaction() as session:
            abandoned = await queue.count_abandoned(session, self.settings)
            jobs = await queue.count_jobs_without_run(session)
        if abandoned and self.repair:
            app = queue.queue_app(self.settings)
            # how often a run may be lost is in the agents' environment, which need not be ours
            patient = self.settings.model_copy(update={"max_attempts": sys.maxsize})
            async with self.database.transaction() as session:
                rescued = len(await queue.rescue(app, session, patient))
                left = await queue.count_abandoned(session, self.settings)
            if not left:
                says = f"{rescued} runs had no job or no agent; they were queued again, or ended"
                return ok(name, f"{says} where that was requested")
            abandoned = left
        if abandoned:
            says = f"{abandoned} runs wait without a job, or belong to an agent that is gone"
            return fault(name, says, "an agent queues them again within seconds; or --repair")
        if jobs:
            says = f"{jobs} jobs wait for runs that are gone"
            return warning(name, says, "nothing: the next free agent ends them")
        return ok(name, "every run that waits has a job, and every job a run")

    async def _mlflow(self) -> Check:
        from workers.tracking.server import MLflowAway, MLflowRefused, MLflowServer

        name = "MLflow"
        if not self.settings.mlflow_url:
            return fault(name, "its address is not known", "`polar up`, or set POLAR_MLFLOW_URL")
        token = self.settings.mlflow_token
        try:
            async with MLflowServer(self.settings.mlflow_url, token) as server:
                # the table first: the tracker makes a run in MLflow before it notes it there
                async with self.database.transaction() as session:
                    told = await agreement.mlflow_runs(session)
                    unfinished = await agreement.unfinished_mlflow_runs(session)
                there = await server.run_ids()
                missing = told - there
        except (MLflowAway, MLflowRefused) as error:
            return fault(name, str(error), "start it; the tracker catches up by itself")
        if missing and self.repair:
            async with self.database.transaction() as session:
                await agreement.copy_anew(session, missing)
            return ok(name, f"{len(missing)} runs were missing; the tracker copies them again")
        if missing:
            says = f"{len(missing)} runs that were copied are missing: {_named(missing)}"
            return fault(name, says, "--repair has the tracker copy them again")
        async with self.database.transaction() as session:
            failures = await agreement.tracking_failures(session)
            behind = await tracking.count_untold(session)
        if failures:
            says = f"{failures} runs or studies cannot be copied"
            return warning(name, says, "`polar get ID -o json` says why, in mlflow_error")
        known, to_come = len(there & (told | unfinished)), len(there & unfinished)
        says = (
            f"runs in MLflow, counting trainings, trials and studies: {known}; still being "
            f"trained or waiting for findings: {to_come}; trainings with news to copy: {behind}"
        )
        return ok(name, says)

    async def _optuna(self) -> Check:
        from optuna.exceptions import StorageInternalError

        name = "Optuna"
        async with self.database.transaction() as session:
            begun = await agreement.trials_begun(session)
        if not begun:
            return ok(name, "no study has trials yet")
        try:
            has = await asyncio.to_thread(_trials_in_optuna, self.settings)
        except (SQLAlchemyError, StorageInternalError) as error:
            return fault(name, f"its database does not answer: {error}", "see POLAR_OPTUNA_URL")
        missing = {str(id) for id, number in begun.items() if has.get(str(id), 0) < number}
        if missing:
            says = f"it lacks trials of {len(missing)} studies: {_named(missing)}"
            return fault(name, says, "restore a backup of both, or delete these studies")
        return ok(name, f"it has the trials of all {len(begun)} studies")


async def _seen(name: str, look: Callable[[], Awaitable[Check]]) -> Check:
    try:
        return await look()
    except DBAPIError as error:
        return _unseen(name, error)


def _unseen(name: str, error: DBAPIError) -> Check:
    """What is said of a check that the database does not let us make."""
    first_line = str(error.orig).partition("\n")[0]
    if isinstance(error.orig, InsufficientPrivilege):
        do = f"repeat it where POLAR_DATABASE_URL is that of the role {Role.APP}"
        return warning(name, f"not looked at: {first_line}", do)
    return fault(name, f"cannot be looked at: {first_line}", "see the log of the database")


def _trials_in_optuna(settings: Settings) -> dict[str, int]:
    """How many trials each study has in Optuna, by the id that ends its name."""
    import optuna

    from service.studies.advancing import optuna_storage

    storage = optuna_storage(settings)
    try:
        there = optuna.get_all_study_summaries(storage, include_best_trial=False)
        return {study.study_name.rpartition(" ")[2]: study.n_trials for study in there}
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _named(ids: set[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(sorted(ids)[:NAMED]) + more
