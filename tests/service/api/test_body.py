"""Bodies that are no spec: too large, too deep, not finite, not JSON, or anything at all."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.api.body import MAX_BODY
from tests.spec_places import specs_with_one_wrong_value

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Worker


EXPERIMENTS = "/api/v1/experiments"
IS_JSON = {"content-type": "application/json"}
PROBLEM = {"type", "title", "status", "detail", "instance", "request_id", "errors"}

Rows = Callable[[], Awaitable[int]]


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.mark.parametrize("path", ["", "/validate"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"{'a': 1}", 400),
        (b"\xff\xfe{}", 400),
        (b"1" * 5000, 400),  # more digits than Python reads
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b'"spec"', 422),
        (b" " * (MAX_BODY + 1), 413),
        (b'{"name": "%s"}' % (b"x" * MAX_BODY), 413),
    ],
)
async def test_a_body_that_is_no_spec_is_refused(
    path: str, body: bytes, status: int, http: httpx.AsyncClient, rows: Rows
) -> None:
    answer = await http.post(EXPERIMENTS + path, content=body, headers=IS_JSON)

    assert answer.status_code == status
    assert answer.json().keys() == PROBLEM
    assert await rows() == 0


async def test_a_large_body_is_refused_while_it_comes(http: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    answer = await http.post(EXPERIMENTS, content=endless(), headers=IS_JSON)

    assert answer.status_code == 413
    assert "1048576 bytes" in answer.json()["detail"]
    assert sent <= MAX_BODY + 2 * 65_536


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ['"model": {"beta": %s}', '"seeds": [%s]', '"name": %s'])
async def test_numbers_that_are_not_finite_are_refused(
    number: str, field: str, http: httpx.AsyncClient, rows: Rows
) -> None:
    body = '{"dataset": {"name": "digits"}, "model": {}, %s}' % (field % number)

    answer = await http.post(EXPERIMENTS, content=body, headers=IS_JSON)

    assert answer.status_code == 422
    assert await rows() == 0


@pytest.mark.parametrize("place", ["%s", '{"x": %s}', '{"dataset": {"name": %s}, "model": {}}'])
async def test_a_nesting_bomb_is_refused(place: str, http: httpx.AsyncClient) -> None:
    # Python's stack has 1,000 places: somewhere below, JSON can be read, but not shown any more.
    depths = [*range(500, 1000, 5), 100_000]
    bombs = [place % ("[" * depth + "]" * depth) for depth in depths]

    answers = [await http.post(EXPERIMENTS, content=bomb, headers=IS_JSON) for bomb in bombs]

    assert {answer.status_code for answer in answers} == {400, 422}


async def test_half_a_surrogate_pair_is_refused(http: httpx.AsyncClient, rows: Rows) -> None:
    body = r'{"dataset": {"name": "\ud800"}, "model": {"\udfff": 1}, "name": "\ud800"}'

    answer = await http.post(EXPERIMENTS, content=body, headers=IS_JSON)

    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 3
    assert await rows() == 0


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/yaml", ""]
)
async def test_a_body_that_is_not_called_json_is_refused(
    kind: str, http: httpx.AsyncClient, spec_of: "SpecMaker", rows: Rows
) -> None:
    body = json.dumps(spec_of.as_json())

    answer = await http.post(EXPERIMENTS, content=body, headers={"content-type": kind})

    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]
    assert await rows() == 0


async def test_json_may_say_its_character_set(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}

    answer = await http.post(EXPERIMENTS, content=json.dumps(spec_of.as_json()), headers=headers)

    assert answer.status_code == 202


FIELDS = ["dataset", "model", "training", "diagnostics", "name", "seeds", "device", "beta"]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["digits", "mnist", "beta_vae", "\0", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=20,
)


@hypothesis_settings(
    max_examples=100,
    deadline=None,  # a request of a loaded machine
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # nothing is stored: no state
)
@given(data=st.data(), of_study=st.booleans())
async def test_a_wrong_value_is_accepted_or_named_with_what_is_allowed(
    data: st.DataObject, of_study: bool, http: httpx.AsyncClient
) -> None:
    spec = data.draw(specs_with_one_wrong_value(of_study))
    body = json.dumps(spec, default=str)
    path = "studies" if of_study else "experiments"

    answer = await http.post(f"/api/v1/{path}/validate", content=body, headers=IS_JSON)

    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 422:
        faults = answer.json()["errors"]
        assert faults
        assert len(answer.content) < 20_000
        assert [fault for fault in faults if not fault["message"]] == []
        assert [fault["pointer"] for fault in faults if not fault["pointer"].startswith("/")] == []


@hypothesis_settings(
    max_examples=150,
    deadline=None,  # a request of a loaded machine
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # nothing is stored: no state
)
@given(body=json_values.map(json.dumps).map(str.encode) | st.binary(max_size=50))
async def test_no_body_breaks_the_service(body: bytes, http: httpx.AsyncClient) -> None:
    answer = await http.post(EXPERIMENTS, content=body, headers=IS_JSON)

    assert answer.status_code < 500
