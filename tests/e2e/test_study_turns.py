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
#: One of them may have been chosen before the broker saw what had become due.
LEAD = 2


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

    turns = await begun_since_both_were_there(stage, large, small)
    leads = [
        turns[:place].count("large") - turns[:place].count("small")
        for place, turn in enumerate(turns)
        if turn == "small"
    ]
    assert len(leads) == 6
    assert all(abs(lead) <= LEAD for lead in leads), turns


async def submit(stage: "Stage", spec: StudySpec) -> UUID:
    async with stage.database.transaction() as session:
        return (await studies.create(session, spec, "any")).id


async def begun_since_both_were_there(stage: "Stage", large: UUID, small: UUID) -> list[str]:
    """Whose training was begun, in the order of the claims, since one of the small was queued."""
    query = (
        select(Trial.study_id, Transition.state)
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .join(Transition, Transition.run_id == ExperimentRun.run_id)
        .where(Trial.study_id.in_((large, small)))
        .order_by(Transition.id)
    )
    async with stage.database.transaction() as session:
        changes = [(study_id, state) for study_id, state in await session.execute(query)]
    since = changes[changes.index((small, RunState.QUEUED)) :]
    names = {large: "large", small: "small"}
    return [names[study_id] for study_id, state in since if state is RunState.RUNNING]
