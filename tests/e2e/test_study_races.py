"""One study twice, by agents whose children pretend to train, each at a random speed."""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from polar.records.ranges import StudyRange
from polar.spec import StudySpec
from service.storage import studies
from tests.processes import PATIENCE_S, POLL_S

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.processes import Stage

WORKERS = Path(__file__).parents[1] / "workers"
BASE = {
    "dataset": {"name": "digits"},
    "model": {"latent_dim": 2},
    "training": {"steps": 8, "checkpoint_every": 4},
}
#: Other samplers race in `tests/service/studies/test_order_of_ends.py`, with pretended agents.
SPEC = StudySpec.model_validate(
    {
        "base": {**BASE, "seeds": [0, 1, 2]},
        "search": {"model.beta": {"log_uniform": [0.01, 100]}},
        "sampler": "range",
        "concurrency": 3,
        "budget": {"trials": 16},
    }
)


@pytest.fixture
def stage(stage: "Stage", reports: "Reports") -> "Stage":
    """Agents whose children pretend, at any speed."""
    stage.program = [str(WORKERS / "agent_with_other_child.py")]
    child = json.dumps([sys.executable, str(WORKERS / "pretending_child.py")])
    made_up = reports.result(SPEC.base).model_dump_json()
    stage.environment = {"CHILD": child, "MADE_UP_RESULT": made_up, "ANY_SPEED": "yes"}
    return stage


async def test_a_study_has_the_same_trials_and_range_whichever_training_ends_first(
    stage: "Stage", broker: Path
) -> None:
    async with stage.database.transaction() as session:
        # of different digests, so that they share no run
        ids = [(await studies.create(session, SPEC, digest)).id for digest in ("one", "another")]
    for _ in range(3):
        stage.start_agent()

    await stage.until(lambda: broker.read_text().count(" is completed") == 2 * SPEC.trials)

    (first, found), (second, other) = [await came_to(stage, study_id) for study_id in ids]
    assert len(first) == SPEC.trials
    assert first == second
    assert isinstance(found, StudyRange)
    assert found.envelope is not None
    assert found == other


async def came_to(stage: "Stage", study_id: UUID) -> tuple[list[tuple[Any, ...]], object]:
    """The trials and the range of a study, as soon as it has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with stage.database.transaction() as session:
                study = await studies.get(session, study_id)
                trials = await studies.trials_of(session, study_id)
            if study.state not in studies.UNFINISHED:
                break
            await asyncio.sleep(POLL_S)
    ends = [(trial.number, trial.point, trial.state, trial.values) for trial in trials]
    return ends, study.range
