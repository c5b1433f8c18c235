"""A broker against a real Postgres; agents only pretend, Optuna's own tables are in memory."""

import math
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from procrastinate import App
from sqlalchemy import select

from polar.records.events import Evaluation, Result
from polar.records.latents import Regime
from polar.spec import ExperimentSpec, StudySpec
from service.storage import experiments, runs, studies
from service.storage.database import Database
from service.storage.states import RunState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Run
from service.studies.broker import Broker
from service.studies.optimiser import study_name

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import Worker

DIGEST = "d" * 64
BETA = {"model.beta": {"log_uniform": [0.01, 100]}}


class SpecOf(Protocol):
    def __call__(self, **fields: Any) -> StudySpec: ...  # noqa: ANN401


@pytest.fixture
def spec_of() -> SpecOf:
    """Three trials of two seeds, unless said otherwise."""

    def make(**fields: Any) -> StudySpec:  # noqa: ANN401
        base = {"dataset": {"name": "digits"}, "model": {}, "seeds": [0, 1]}
        budget = {"trials": 3}
        return StudySpec.model_validate(
            {"base": base, "search": BETA, "sampler": "random", "budget": budget, **fields}
        )

    return make


class Lab:
    """A study, its broker, and agents that pretend."""

    def __init__(self, database: Database, app: App, worker: "Worker", reports: "Reports") -> None:
        self.database = database
        self.storage: BaseStorage = InMemoryStorage()
        self._app, self._worker, self._reports = app, worker, reports
        self.broker = Broker(database, app, self.storage)

    async def submit(self, spec: StudySpec, digest: str = DIGEST) -> UUID:
        """Studies of another digest share no run."""
        async with self.database.transaction() as session:
            return (await studies.create(session, spec, digest)).id

    async def want(self, spec: ExperimentSpec) -> list[UUID]:
        """Somebody asks for an experiment; returns its runs, shared or new."""
        async with self.database.transaction() as session:
            submission = await experiments.create(session, spec, DIGEST)
        return [run.id for run in submission.runs]

    async def study(self, study_id: UUID) -> Study:
        async with self.database.transaction() as session:
            return await studies.get(session, study_id)

    async def trials(self, study_id: UUID) -> list[Trial]:
        async with self.database.transaction() as session:
            return list(await studies.trials_of(session, study_id))

    def optuna_trials(self, study_id: UUID, spec: StudySpec) -> list[optuna.trial.FrozenTrial]:
        name = study_name(study_id, spec)
        return optuna.load_study(study_name=name, storage=self.storage).trials

    async def queued(self) -> list[Run]:
        async with self.database.transaction() as session:
            query = select(Run).where(Run.state == RunState.QUEUED).order_by(Run.created_at)
            return list(await session.scalars(query))

    async def end_one(self, run: Run, state: RunState = RunState.SUCCEEDED) -> None:
        """An agent runs it."""
        await self.begin(run)
        if state is RunState.SUCCEEDED:
            await self.succeed(run)
        else:
            await self._worker.finish(run.id, state)

    async def succeed(self, run: Run) -> None:
        """A run that was begun ends; P is 1 at beta 1, and falls off on both sides."""
        beta = run.spec["model"]["beta"]
        await self.end(run, self.result(run, math.exp(-(math.log10(beta) ** 2))))

    async def end(self, run: Run, result: Result) -> None:
        """A run that was begun ends with this result."""
        await self._worker.record(run.id, result)
        await self._worker.finish(run.id)

    async def begin(self, *runs: Run) -> None:
        """An agent has claimed them."""
        for run in runs:
            await self._worker.claim(run.id)

    async def evaluate(
        self,
        run: Run,
        step: int,
        polarisation: float,
        regime: Regime = Regime.CLEAN,
        *,
        reconstruction_nats: float = 100.0,
    ) -> None:
        """A run that was begun reports an evaluation."""
        made = self.evaluation(step, polarisation, regime)
        told = made.model_copy(update={"reconstruction_nats": reconstruction_nats})
        await self._worker.record(run.id, told)

    async def hear(self, run: Run, evaluation: Evaluation) -> None:
        """A run that was begun reports this evaluation."""
        await self._worker.record(run.id, evaluation)

    def evaluation(
        self, step: int, polarisation: float, regime: Regime = Regime.CLEAN
    ) -> Evaluation:
        made = self._reports.evaluation(step)
        told = {"polarisation": polarisation, "clean_polarisation": polarisation, "regime": regime}
        return made.model_copy(update={"verdict": made.verdict.model_copy(update=told)})

    async def stop(self, run: Run) -> None:
        """The agent of a run that is to be stopped has stopped it."""
        async with self.database.transaction() as session:
            await runs.finish_on_request(session, run.id, 1)

    async def run(self, run_id: UUID) -> Run:
        async with self.database.transaction() as session:
            return await runs.get(session, run_id)

    async def runs_of(self, trial: Trial) -> list[Run]:
        async with self.database.transaction() as session:
            return (await studies.runs_of(session, [trial.experiment_id]))[trial.experiment_id]

    def result(self, run: Run, polarisation: float) -> Result:
        made = self._reports.result(ExperimentSpec.model_validate(run.spec))
        final = self.evaluation(made.steps, max(polarisation - 0.01 * run.seed, 0.0))
        return made.model_copy(update={"final": final, "seed": run.seed})

    async def carry_out(
        self,
        study_id: UUID,
        end: Callable[[Run], Awaitable[None]] | None = None,
        *,
        draw: random.Random | None = None,
    ) -> Study:
        """Broker and agents, by turns, until the study has ended.

        Args:
            study_id: Id of the study.
            end: Ends a queued run; by default it succeeds.
            draw: Draws which of the queued runs end in each turn; by default all do.
        """
        for _ in range(500):
            await self.broker.advance(study_id)
            if (study := await self.study(study_id)).state not in studies.UNFINISHED:
                return study
            waiting = await self.queued()
            if draw is not None:
                waiting = draw.sample(waiting, draw.randint(0, len(waiting)))
            for run in waiting:
                await (end or self.end_one)(run)
        raise AssertionError("the study does not end")


@pytest.fixture
async def lab(database: Database, app: App, worker: "Worker", reports: "Reports") -> Lab:
    await worker.announce()
    return Lab(database, app, worker, reports)
