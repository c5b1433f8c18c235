"""Where weights are kept for a time only, the API says so of a model that is gone."""

from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from service.settings import Settings
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.service.conftest import Worker


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"keep_weights_days": 7.0})


@pytest.mark.parametrize(
    ("state", "problem"),
    [(RunState.SUCCEEDED, "weights-removed"), (RunState.FAILED, "not-found")],
)
async def test_only_of_runs_that_had_a_model(
    state: RunState, problem: str, http: httpx.AsyncClient, run_id: UUID, worker: "Worker"
) -> None:
    await worker.finish(run_id, state)

    refusal = (await http.get(f"/api/v1/runs/{run_id}/model")).json()

    assert refusal["status"] == 404
    assert refusal["type"] == f"urn:polar:problem:{problem}"
    if state is RunState.SUCCEEDED:
        assert "7 days after the end of a run (POLAR_KEEP_WEIGHTS_DAYS)" in refusal["detail"]
