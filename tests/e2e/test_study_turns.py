"""Two studies, one broker, one agent whose child pretends to train: the studies take turns."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import select

from polar.spec import StudySpec
from service.storage import studies
from service.storage.states import RunState
from service.storage.study_tables import Trial
from service.storage.tables import ExperimentRun, Transition

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.processes import Stage

WORKERS = Path(__file__).parents[1] / "workers"
#: How many trainings of the other study may begin while a training waits: its turn comes after one
#: of them, and another may have been chosen before the broker saw what had become due.
PASSED = 2


def spec_of(seed: int, **fields: Any) -> StudySpec:  # noqa: ANN401
    """The spec of a study with points of its own, so that no run is shared."""
    base = {
        "dataset": {"name": "digits"},
        "model": {"latent_dim": 2},
        "training": {"steps": 4, "checkpoint_every": 2},
    }
    study = {
        "base": base,
        "search": {"model.beta": {"log_uniform": [0.01, 100]}},
        "sampler": "random",
        "sampler_seed": seed,
    }
    return StudySpec.model_validate({**study, **fields})


@pytest.fixture
def stage(stage: "Stage", reports: "Reports") -> "Stage":
    """An agent whose child pretends."""
    stage.program = [str(WORKERS / "agent_with_other_child.py")]
    child = json.dumps([sys.executable, str(WORKERS / "pretending_child.py")])
    made_up = reports.result(spec_of(0).base).model_dump_json()
    stage.environment = {"CHILD": child, "MADE_UP_RESULT": made_up}
    return stage


async def test_a_study_that_comes_late_takes_turns_with_one_that_has_queued_all_its_trials(
    stage: "Stage", broker: Path
) -> None:
    large = await submit(stage, spec_of(1, concurrency=30, budget={"trials": 30}))
    await stage.until(lambda: broker.read_text().count(" tries ") == 30)
    agent = stage.start_agent()
    await stage.until(lambda: "started child" in stage.log_of(agent))

    small = await submit(stage, spec_of(2, concurrency=2, budget={"trials": 6}))
    await stage.until(
        lambda: len(re.findall(rf"{small}: .* is completed", broker.read_text())) == 6
    )

    changes = await changes_of(stage, large, small)
    queued = {run: place for place, (_, run, state) in enumerate(changes) if state == "queued"}
    begun = [(place, *change) for place, change in enumerate(changes) if change[2] == "running"]
    passed = [
        [study for at, study, *_ in begun if queued[run] < at < place].count(large)
        for place, study, run, _ in begun
        if study == small
    ]
    assert len(passed) == 6
    assert max(passed) <= PASSED, changes
    turns = "".join("s" if study == small else "L" for _, study, *_ in begun)
    # No study makes up for the time in which it had nothing to train.
    assert "sss" not in turns


async def submit(stage: "Stage", spec: StudySpec) -> UUID:
    async with stage.database.transaction() as session:
        return (await studies.create(session, spec, "any")).id


async def changes_of(stage: "Stage", *studies: UUID) -> list[tuple[UUID, UUID, RunState]]:
    """The study, the run and the new state of every change, in the order of the changes."""
    query = (
        select(Trial.study_id, Transition.run_id, Transition.state)
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .join(Transition, Transition.run_id == ExperimentRun.run_id)
        .where(Trial.study_id.in_(studies))
        .order_by(Transition.id)
    )
    async with stage.database.transaction() as session:
        return [(study, run, state) for study, run, state in await session.execute(query)]
