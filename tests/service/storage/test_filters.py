"""Lists that are filtered: an experiment's state in SQL is what its runs say."""

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import func, select

from service.storage import experiments
from service.storage.database import Database
from service.storage.filters import Wanted, conditions
from service.storage.states import RunState
from service.storage.tables import Experiment, ExperimentRun, Run

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter

STATES = list(RunState)
SUBSETS = [states for size in range(len(STATES) + 1) for states in combinations(STATES, size)]


async def test_experiments_of_every_combination_of_states_are_found_by_their_own(
    database: Database, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    spec = spec_of(seeds=list(range(len(STATES))))
    made = await submit(spec)
    expected: dict[UUID, RunState] = {}
    async with database.transaction() as session:
        runs = dict(zip(STATES, [run.id for run in made.runs], strict=True))
        for state, run_id in runs.items():
            run = await session.get_one(Run, run_id)
            run.state = state
            is_held = state is RunState.RUNNING
            run.owner, run.lease_until = ("agent", func.now()) if is_held else (None, None)
            run.finished_at = func.now() if state.is_final else None
        for is_cancelled in (False, True):
            for states in SUBSETS:
                experiment = Experiment(
                    name="", spec=made.experiment.spec, spec_hash="",
                    cancelled_at=func.now() if is_cancelled else None,
                )  # fmt: skip
                session.add(experiment)
                await session.flush()
                await session.refresh(experiment)
                for position, state in enumerate(states):
                    session.add(
                        ExperimentRun(
                            experiment_id=experiment.id, position=position, run_id=runs[state]
                        )
                    )
                expected[experiment.id] = experiments.state_of(experiment, Counter(states))

    async with database.transaction() as session:
        found = {
            state: set(
                await session.scalars(
                    select(Experiment.id).where(
                        *conditions(Experiment, Wanted(state=state)),
                        Experiment.id != made.experiment.id,
                    )
                )
            )
            for state in STATES
        }

    assert len(expected) == 2 * 2 ** len(STATES)
    for state in STATES:
        assert found[state] == {id for id, its in expected.items() if its is state}, state
