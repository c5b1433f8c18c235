"""The id of a request is in its answer and in what is logged of it."""

import re

import httpx
import pytest
from fastapi import FastAPI


@pytest.mark.parametrize("path", ["/api/v1/healthz", "/api/v1/experiments", "/api/v1/nothing"])
async def test_an_answer_has_an_id_of_its_own(http: httpx.AsyncClient, path: str) -> None:
    first, second = [(await http.get(path)).headers["X-Request-ID"] for _ in range(2)]

    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


async def test_a_clients_id_is_kept_and_stands_in_the_refusal(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/v1/nothing", headers={"X-Request-ID": "sweep-7.a_B"})

    assert answer.headers.get_list("X-Request-ID") == ["sweep-7.a_B"]
    assert answer.json()["request_id"] == "sweep-7.a_B"


@pytest.mark.parametrize("bad", ["", "a b", "a\tb", "x" * 65, '{"level":"error"}', "é"])
async def test_an_id_that_might_disturb_a_log_is_replaced(
    http: httpx.AsyncClient, bad: str
) -> None:
    answer = await http.get("/api/v1/healthz", headers={b"X-Request-ID": bad.encode("latin-1")})

    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


async def test_a_failure_of_the_service_says_its_id_too(
    api: FastAPI, http: httpx.AsyncClient
) -> None:
    @api.get("/fails")
    def fail() -> None:
        raise RuntimeError("a fault of ours")

    answer = await http.get("/fails", headers={"X-Request-ID": "abc"})

    assert answer.status_code == 500
    assert answer.headers.get_list("X-Request-ID") == ["abc"]
    assert answer.json()["request_id"] == "abc"
