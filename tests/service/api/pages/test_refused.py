"""Addresses at which there is no page, and what a page says of an address that cannot be."""

import httpx
import pytest
from fastapi import FastAPI

from service.storage import showing
from service.storage.errors import StorageError

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HINT = "prints a link that lets a browser in"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/Runs", 404, "there is nothing at /Runs"),
        ("/Studies", 404, "there is nothing at /Studies"),
        ("/%3Cscript%3E", 404, "there is nothing at /&lt;script&gt;"),
        ("/static/nothing.js", 404, "there is nothing at /static/nothing.js"),
        ("/logout", 405, "GET is not allowed at /logout"),
        ("/submit/check", 405, "GET is not allowed at /submit/check"),
    ],
)
async def test_a_browser_gets_a_page_where_there_is_none(
    http: httpx.AsyncClient, path: str, status: int, words: str
) -> None:
    shown = await http.get(path, headers=BROWSER)
    assert (shown.status_code, shown.headers["content-type"]) == (
        status,
        "text/html; charset=utf-8",
    )
    assert words in shown.text
    assert HINT not in shown.text
    assert "default-src 'self'" in shown.headers["content-security-policy"]
    assert shown.headers.get_list("x-request-id") == [shown.headers["x-request-id"]]

    told = await http.get(path)
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json()["status"] == status
    assert shown.headers.get("allow") == told.headers.get("allow")


async def test_the_api_answers_browsers_as_all_others(http: httpx.AsyncClient) -> None:
    for path in ("/api/v1", "/api/v1/nothing"):
        answer = await http.get(path, headers=BROWSER)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_failure_of_the_service_is_a_page_for_browsers(
    api: FastAPI, http: httpx.AsyncClient
) -> None:
    @api.get("/failing")
    async def fail() -> None:
        raise RuntimeError("a secret")

    shown = await http.get("/failing", headers=BROWSER)
    assert shown.status_code == 500
    assert "This page cannot be shown" in shown.text
    assert "a secret" not in shown.text
    assert (await http.get("/failing")).json()["status"] == 500


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            "/runs?tag=%20",
            "tag in this address: this is no tag (given: ' '); allowed: key or key=value, and in "
            "keys the characters A-Z a-z 0-9 . _ / -",
        ),
        (
            "/?q=%00",
            "q in this address: a name is one line of printable characters (given: ",
        ),
        ("/runs?model=" + "a" * 101, "at most 100"),
        (
            "/compare?" + "&".join(["run=0000"] * 9),
            "run in this address: there are too many items",
        ),
        ("/compare?" + "&".join(["run=0000"] * 9), "allowed: at most 8"),
        ("/overlay?study=zz", "study in this address: this is not an id (given: 'zz'); allowed: "),
        ("/submit?example=" + "a" * 101, "example in this address: this text is too long"),
    ],
)
async def test_an_address_that_cannot_be_is_refused_in_our_own_words(
    http: httpx.AsyncClient, address: str, words: str
) -> None:
    answer = await http.get(address)

    assert answer.status_code == 422
    said = answer.text.replace("&#39;", "'")
    assert words in said
    assert "should" not in said  # which is how pydantic says it
    assert HINT not in said


async def test_who_is_not_let_in_is_told_how(http: httpx.AsyncClient) -> None:
    answer = await http.get("/runs", headers={"Authorization": ""})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="polar"'
    assert HINT in answer.text


async def test_a_fault_of_our_own_is_no_page_with_its_words(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise StorageError("a secret")

    monkeypatch.setattr(showing, "page_of_runs", fail)

    shown = await http.get("/runs", headers=BROWSER)
    assert shown.status_code == 500
    assert "This page cannot be shown" in shown.text
    assert "a secret" not in shown.text
