"""How long a study would take, before it is submitted."""

from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Worker

#: What a run says that takes ten seconds for each step.
IMAGES_PER_S = 6.4
STEP_S = 64 / IMAGES_PER_S


@pytest.fixture(autouse=True)
async def _a_run_has_succeeded(
    worker: "Worker", submit: "Submitter", spec_of: "SpecMaker", reports: "Reports"
) -> None:
    """It says that its steps took 1,000 seconds, so that it took no time besides them."""
    await worker.announce()
    run = (await submit(spec_of(training={"steps": 100}))).runs[0]
    await worker.claim(run.id)
    told = reports.progress(100).model_copy(update={"images_per_s": IMAGES_PER_S})
    await worker.record(run.id, told)
    await worker.finish(run.id)


async def plan(http: httpx.AsyncClient, study: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post("/api/v1/studies/validate", json=study)
    assert answer.status_code == 200, answer.text
    planned: dict[str, Any] = answer.json()
    return planned


@pytest.mark.parametrize(
    ("fields", "least", "most", "words"),
    [
        # 10 trainings of 50 steps, or of 400
        ({"range": {"max_steps": 400}, "budget": {"trials": 10}}, 500, 4000, "50 to 400 steps"),
        ({"budget": {"trials": 10}}, 500, 500, "; 50 steps a run"),
        # the budget has room for 20 trainings of 50 steps, or for 3 of 400
        ({"range": {"max_steps": 400}, "budget": {"steps": 1000}}, 1000, 1200, "50 to 400"),
        ({"sampler": "tpe", "budget": {"steps": 1000}}, 1000, 1000, "; 50 steps a run"),
        (
            {
                "sampler": "tpe",
                "search": {"training.steps": {"integer": [50, 100]}},
                "budget": {"trials": 10},
            },
            500,
            1000,
            "50 to 100 steps a run",
        ),
    ],
)
async def test_the_time_is_a_span_where_trainings_may_become_longer(
    http: httpx.AsyncClient,
    study_of: "StudyMaker",
    fields: dict[str, Any],
    least: int,
    most: int,
    words: str,
) -> None:
    # A range that doubled its budget to 16 times the steps was announced with the first steps.
    base = {"dataset": {"name": "digits"}, "model": {}, "training": {"steps": 50}}

    planned = await plan(http, study_of(base=base, **fields))

    assert planned["estimated_least_s"] == pytest.approx(least * STEP_S)
    assert planned["estimated_s"] == pytest.approx(most * STEP_S)
    assert words in planned["estimate"]
