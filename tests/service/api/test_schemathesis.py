"""The whole OpenAPI document against the service: no 5xx, and no answer that it does not name."""

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import Worker

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
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


def test_every_operation_answers_as_it_says(served: str) -> None:
    schema = schemathesis.openapi.from_url(f"{served}/openapi.json")

    operations = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    # streams come first, while there is no run whose end they would wait for
    for operation in sorted(operations, key=lambda each: not each.path.endswith(STREAM)):

        @hypothesis_settings(SETTINGS, max_examples=1 if operation.path == UPLOADS else 4)
        @given(case=operation.as_strategy())
        def answers_as_it_says(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKS, headers=OWNER, timeout=PATIENCE_S)

        answers_as_it_says()
