"""Studies on a whole stack whose processes are killed: nothing is lost, and nothing told twice.

The supervisor of `polar up` starts the dead again. The trainings of one study are pretended, to
have many of them; those of the other are real.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import httpx
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from pydantic import SecretStr
from sqlalchemy import func, select

from polar.spec import StudySpec
from service.embedded.running import find_running, wait_until_healthy
from service.homes import token_of
from service.settings import Settings
from service.storage import runs, studies
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.evaluations import evaluations_of
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Run, Transition
from service.studies.optimiser import study_name

if TYPE_CHECKING:
    from tests.conftest import Reports

T = TypeVar("T")

HERE = Path(__file__).parent
AGENTS = [f"agent-{number}" for number in range(4)]
#: Far more than anything takes here, also on a busy machine.
PATIENCE_S = 300.0
POLL_S = 0.05
#: The empty name is that of an agent which works on the study.
VICTIMS = ["clerk"] * 4 + [""] * 2 + ["postgres"] * 2 + ["mlflow"]
ENVIRONMENT = {
    "POLAR_LEASE_S": "12",
    "POLAR_RENEW_S": "0.5",
    "POLAR_RESCUE_S": "0.5",
    "POLAR_HEARTBEAT_S": "0.5",
    "POLAR_HEARTBEAT_OVER_S": "2",
    "POLAR_MAX_ATTEMPTS": "20",  # here it is never the run that kills
}


class Laboratory:
    """A stack, studies on it, and sudden deaths among its processes."""

    def __init__(self, home: Path) -> None:
        known = json.loads((home / "database.json").read_text())
        url = "postgresql://{user}:{password}@{host}:{port}/app".format_map(known)
        self._home = home
        self._settings = Settings(database_url=SecretStr(url), artifacts=home, mlflow_url="")
        self._database = Database(self._settings.sqlalchemy_url)
        stack = wait_until_healthy(home)
        self._api = httpx.Client(
            base_url=f"{stack.api_url}/api/v1",
            headers={"Authorization": f"Bearer {token_of(home)}"},
            timeout=PATIENCE_S,
        )
        self._mlflow = MlflowClient(stack.mlflow_url)

    async def submit(self, spec: StudySpec) -> UUID:
        """As a user does, as soon as an agent offers the dataset."""

        async def accepted() -> httpx.Response | None:
            answer = self._api.post("/studies", json=spec.model_dump(mode="json"))
            return answer if answer.is_success else None

        return UUID((await self.until(accepted)).json()["id"])

    async def until(self, is_so: Callable[[], Awaitable[T | None]]) -> T:
        """The first answer that is true; a database that is away is asked again."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if answer := await is_so():
                    return answer
            except DatabaseAway:
                pass
            if time.monotonic() > deadline:
                pytest.fail(f"it did not come true; the logs:\n{self._logs()}")
            await asyncio.sleep(POLL_S)

    async def study(self, study_id: UUID) -> Study:
        async with self._database.transaction() as session:
            return await studies.get(session, study_id)

    async def trials(self, study_id: UUID) -> Sequence[Trial]:
        async with self._database.transaction() as session:
            return await studies.trials_of(session, study_id)

    async def end_of(self, study_id: UUID) -> Study:
        async def ended() -> Study | None:
            study = await self.study(study_id)
            return study if study.state not in studies.UNFINISHED else None

        return await self.until(ended)

    async def has_changed(self, study_id: UUID, times: int) -> bool:
        """Whether the runs of the study have changed their states so often, and it goes on."""
        query = select(func.count(Transition.id)).where(Transition.run_id.in_(_runs_of(study_id)))
        async with self._database.transaction() as session:
            changes = await session.scalar(query)
            study = await studies.get(session, study_id)
        assert study.state is StudyState.RUNNING
        return (changes or 0) >= times

    async def kill_agent_of(self, study_id: UUID) -> None:
        """SIGKILL to an agent that works on the study, as soon as there is one."""
        query = select(Run.owner).where(Run.id.in_(_runs_of(study_id)), Run.owner.is_not(None))

        async def owner() -> str | None:
            async with self._database.transaction() as session:
                return await session.scalar(query.limit(1))

        await self.kill(await self.until(owner))

    async def kill(self, name: str) -> None:
        """SIGKILL; returns when the supervisor has started another one."""
        pid = await self._signal(name, signal.SIGKILL)
        await self.until(partial(self._pid_but, name, pid))

    async def kill_clerk_at_the_end_of(self, study_id: UUID, spec: StudySpec) -> None:
        """SIGKILL when all runs of the study have ended and it does not know that of the last.

        It is frozen while they end, because the study would otherwise end at once.
        """

        async def have_begun() -> bool:
            return len(await self.trials(study_id)) >= spec.trials

        async def have_ended() -> bool:
            query = select(func.count(Run.id)).where(Run.id.in_(_runs_of(study_id)))
            async with self._database.transaction() as session:
                return await session.scalar(query.where(Run.finished_at.is_(None))) == 0

        await self.until(have_begun)
        await self._signal("clerk", signal.SIGSTOP)
        await self.until(have_ended)
        await self.kill("clerk")

    async def _signal(self, name: str, number: signal.Signals) -> int:
        pid = await self.until(partial(self._pid_but, name, 0))
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(pid, number)
        return pid

    async def _pid_but(self, name: str, other: int) -> int | None:
        stack = find_running(self._home)
        pid = stack.processes.get(name) if stack else None
        return pid if pid != other else None

    async def histories(self, study_id: UUID) -> list[Sequence[Transition]]:
        """All changes of state of each run of the study."""
        async with self._database.transaction() as session:
            run_ids = await session.scalars(_runs_of(study_id))
            return [await runs.transitions_of(session, run_id) for run_id in run_ids]

    async def evaluated(self, study_id: UUID) -> list[list[int]]:
        """The steps at which each run of the study was evaluated."""
        async with self._database.transaction() as session:
            run_ids = await session.scalars(_runs_of(study_id))
            found = [await evaluations_of(session, run_id) for run_id in run_ids]
        return [[evaluation["step"] for evaluation in of_run] for of_run in found]

    def optuna_trials(self, study_id: UUID, spec: StudySpec) -> list[FrozenTrial]:
        storage = RDBStorage(self._settings.optuna_sqlalchemy_url)
        name = study_name(study_id, spec)
        found = optuna.load_study(study_name=name, storage=storage).trials
        storage.remove_session()
        storage.engine.dispose()
        return found

    async def mlflow_runs(self, study_id: UUID) -> list[MlflowRun]:
        """MLflow's runs of the runs of this study, as soon as nothing in MLflow goes on."""
        async with self._database.transaction() as session:
            ours = {str(run_id) for run_id in await session.scalars(_runs_of(study_id))}

        async def at_rest() -> list[MlflowRun]:
            await asyncio.sleep(0.5)  # a search takes long
            experiments = [one.experiment_id for one in self._mlflow.search_experiments()]
            found = list(self._mlflow.search_runs(experiments))
            told = [run for run in found if run.data.tags.get("polar.run_id") in ours]
            rests = all(run.info.status not in ("RUNNING", "SCHEDULED") for run in found)
            return told if rests and len(told) >= len(ours) else []

        return await self.until(at_rest)

    async def agents_of(self, study_id: UUID) -> set[str]:
        """The agents that have worked on the study."""
        async with self._database.transaction() as session:
            run_ids = (await session.scalars(_runs_of(study_id))).all()
        logs = {name: (self._home / "log" / f"{name}.log").read_text() for name in AGENTS}
        return {name for name, log in logs.items() if any(f"run={id}" in log for id in run_ids)}

    async def close(self) -> None:
        self._api.close()
        await self._database.close()

    def _logs(self) -> str:
        logs = sorted((self._home / "log").glob("*.log"))
        return "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in logs)


def _runs_of(study_id: UUID) -> Any:  # noqa: ANN401 (a query)
    return (
        select(ExperimentRun.run_id)
        .join(Trial, Trial.experiment_id == ExperimentRun.experiment_id)
        .where(Trial.study_id == study_id)
    )


@pytest.fixture
def home(reports: "Reports", open_folder: Path) -> Iterator[Path]:
    """The home of a running stack, with four agents that pretend and one that trains."""
    home = open_folder
    (home / "log").mkdir()
    made_up = reports.result(pretended(0).base).model_dump_json()
    child = json.dumps([sys.executable, str(HERE.parent / "workers" / "pretending_child.py")])
    with (home / "log" / "up.log").open("wb") as log:
        supervisor = subprocess.Popen(
            [sys.executable, str(HERE / "stack_that_pretends.py"), str(home)],
            env=os.environ | ENVIRONMENT | {"MADE_UP_RESULT": made_up, "CHILD": child},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_healthy(home, PATIENCE_S, supervisor)
        yield home
    finally:
        supervisor.terminate()
        supervisor.wait(PATIENCE_S)


@pytest.fixture
async def laboratory(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Laboratory]:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token_of(home) or "")
    laboratory = Laboratory(home)
    yield laboratory
    await laboratory.close()


def pretended(seed: int) -> StudySpec:
    """A study for all four agents that pretend; its points are those of the seed."""
    return _study(
        seed,
        concurrency=4,
        budget={"trials": 8},
        base={
            "dataset": {"name": "digits"},
            "model": {"latent_dim": 2},
            "training": {"steps": 10, "checkpoint_every": 5},
            "seeds": [0, 1],
            "device": "cuda",
        },
    )


def trained(seed: int) -> StudySpec:
    """A study for the agent that trains."""
    return _study(
        seed,
        concurrency=2,
        budget={"trials": 2},
        base={
            "dataset": {"name": "digits", "images": 200},
            "model": {"latent_dim": 3, "widths": [4, 4, 4, 4, 4]},
            "training": {"steps": 20, "batch_size": 50, "checkpoint_every": 5},
            "diagnostics": {"evaluations_per_doubling": 1, "images": 100},
            "device": "cpu",
        },
    )


def _study(seed: int, **fields: Any) -> StudySpec:  # noqa: ANN401
    search = {"model.beta": {"log_uniform": [0.01, 100]}}
    return StudySpec.model_validate(
        {"search": search, "sampler": "random", "sampler_seed": seed, **fields}
    )


@pytest.mark.parametrize("seed", [1])
async def test_studies_lose_and_double_nothing_whoever_is_killed_at_random_moments(
    laboratory: Laboratory, seed: int
) -> None:
    chance = random.Random(seed)
    many, real = pretended(seed), trained(seed)
    real_id = await laboratory.submit(real)
    await laboratory.kill_agent_of(real_id)  # its template takes longer than all that is pretended
    many_id = await laboratory.submit(many)

    # in changes of the pretended runs: each has three at least, so that the study outlasts them
    moments = chance.sample(range(1, many.runs), len(VICTIMS))
    for victim, moment in zip(chance.sample(VICTIMS, len(VICTIMS)), sorted(moments), strict=True):
        await laboratory.until(partial(laboratory.has_changed, many_id, moment))
        await asyncio.sleep(chance.uniform(0, 0.2))
        await (laboratory.kill(victim) if victim else laboratory.kill_agent_of(many_id))
    await laboratory.kill_clerk_at_the_end_of(many_id, many)
    ends = [await laboratory.end_of(study_id) for study_id in (many_id, real_id)]

    assert [end.state for end in ends] == [StudyState.COMPLETED] * 2
    assert [end.status_reason for end in ends] == ["budget_spent"] * 2
    await assert_complete(laboratory, many_id, many)
    await assert_complete(laboratory, real_id, real)
    # Kills decide which agents get runs, but no single agent may have been left with all of them.
    assert len(await laboratory.agents_of(many_id)) > 1
    assert await laboratory.evaluated(many_id) == [[5, 10]] * many.runs
    evaluated = await laboratory.evaluated(real_id)
    assert evaluated == [evaluated[0]] * real.runs
    assert evaluated[0][-1] == real.base.training.steps
    for trial in await laboratory.trials(many_id):
        beta = float(trial.point["model.beta"])
        told = [1 / (1 + beta + run_seed / 10) for run_seed in (0, 1)]
        assert trial.values == pytest.approx([sum(told) / 2], rel=1e-12)  # the sum is rounded


async def assert_complete(laboratory: Laboratory, study_id: UUID, spec: StudySpec) -> None:
    """As many trials as were wanted; our tables, Optuna and MLflow agree on them."""
    ours = await laboratory.trials(study_id)
    assert [trial.state for trial in ours] == [TrialState.COMPLETED] * spec.trials
    assert len({json.dumps(trial.point) for trial in ours}) == spec.trials
    theirs = laboratory.optuna_trials(study_id, spec)
    assert [trial.state for trial in theirs] == [OptunaState.COMPLETE] * spec.trials
    assert [(trial.number, trial.params, trial.values) for trial in theirs] == [
        (trial.number, trial.point, trial.values) for trial in ours
    ]
    histories = await laboratory.histories(study_id)
    assert len(histories) == spec.runs
    for history in histories:
        assert (history[0].attempt, history[0].state) == (0, RunState.QUEUED)
        assert all(can_follow(after, before) for before, after in pairwise(history))
        assert history[-1].state is RunState.SUCCEEDED
    told = await laboratory.mlflow_runs(study_id)
    assert [run.info.status for run in told] == ["FINISHED"] * spec.runs
    assert len({run.data.tags["polar.run_id"] for run in told}) == spec.runs


def can_follow(after: Transition, before: Transition) -> bool:
    """Whether a run can change so; each claim is an attempt, also that of a lease that is over."""
    match before.state, after.state:
        case ((RunState.QUEUED | RunState.RUNNING), RunState.RUNNING):
            return after.attempt == before.attempt + 1
        case ((RunState.QUEUED | RunState.RUNNING), RunState.QUEUED):
            return after.attempt == before.attempt and after.reason is not None
        case RunState.RUNNING, RunState.SUCCEEDED:
            return after.attempt == before.attempt
    return False
