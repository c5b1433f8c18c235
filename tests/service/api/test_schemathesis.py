"""The whole OpenAPI document against the service: no 5xx, and no answer that it does not name."""

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import seed as hypothesis_seed
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import text

from service.api.links import PREFIX
from service.storage.database import Database
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker, Worker

Case = schemathesis.Case[Any]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
#: A stream of events lasts as long as its run, which here nobody trains.
STREAM = "/events"
#: Each upload that is not refused at once starts an interpreter.
UPLOADS = "/api/v1/measurements"

#: How many experiments and studies there are at first, and how often each operation has its turn.
EXISTING = 3
#: Seconds to wait for an answer; a busy machine takes its time.
PATIENCE_S = 300

#: The same examples every time.
SETTINGS = hypothesis_settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker", database: Database) -> None:
    """As long as all examples take, which on a busy machine is longer than an agent lasts."""
    await worker.announce()
    async with database.transaction() as session:
        await session.execute(text("update app.agents set seen_at = now() + interval '1 hour'"))


def test_every_operation_answers_as_it_says(served: str) -> None:
    schema = schemathesis.openapi.from_url(f"{served}/openapi.json")

    operations = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    # streams come first, while there is no run whose end they would wait for
    for operation in sorted(operations, key=lambda each: not each.path.endswith(STREAM)):

        @hypothesis_settings(SETTINGS, max_examples=1 if operation.path == UPLOADS else 4)
        @given(case=operation.as_strategy())
        def answers_as_it_says(case: Case) -> None:
            case.call_and_validate(checks=CHECKS, headers=OWNER, timeout=PATIENCE_S)

        answers_as_it_says()


def test_operations_on_what_others_have_changed_answer_as_they_say(
    served: str, spec_of: "SpecMaker", study_of: "StudyMaker"
) -> None:
    """Every operation, again and again in any order, on what exists and what others did to it."""
    ids: dict[str, list[str]] = {"experiment_id": [], "run_id": [], "study_id": []}
    with httpx.Client(base_url=f"{served}{PREFIX}", headers=OWNER, timeout=PATIENCE_S) as http:
        for seed in range(EXISTING):
            made = http.post("/experiments", json=spec_of.as_json(seeds=[seed])).json()
            ids["experiment_id"].append(made["id"])
            ids["run_id"].append(made["runs"][0]["id"])
            ids["study_id"].append(http.post("/studies", json=study_of()).json()["id"])
    schema = schemathesis.openapi.from_url(f"{served}/openapi.json")
    operations = [
        operation
        for operation in (result.ok() for result in schema.get_all_operations())  # type: ignore[union-attr]
        # whoever has the id of a run that nobody trains would wait at its stream for ever
        if operation.path != UPLOADS and not operation.path.endswith(STREAM)
    ]
    seen: Counter[int] = Counter()

    for seed in range(EXISTING):
        for operation in random.Random(seed).sample(operations, len(operations)):

            @hypothesis_settings(SETTINGS, derandomize=False, max_examples=2)
            @hypothesis_seed(seed)
            @given(case=operation.as_strategy(), place=st.integers(0, EXISTING - 1))
            def answers_as_it_says(case: Case, place: int) -> None:
                for name in ids.keys() & case.path_parameters.keys():
                    case.path_parameters[name] = ids[name][place]
                answer = case.call_and_validate(checks=CHECKS, headers=OWNER, timeout=PATIENCE_S)
                seen[answer.status_code] += 1

            answers_as_it_says()

    assert seen.keys() >= {200, 404, 409, 422}, seen
