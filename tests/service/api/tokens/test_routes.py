"""Tokens that are made, listed and revoked, and browsers that are let in, through HTTP."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from service.storage.database import Database
from service.storage.tokens import Token

TOKENS, EXPERIMENTS = "/api/v1/tokens", "/api/v1/experiments"


async def make(http: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = await http.post(TOKENS, json=wanted)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def bearer(made: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['token']}"}


async def test_a_token_is_told_once_and_stored_as_a_digest(
    http: httpx.AsyncClient, database: Database
) -> None:
    made = await make(http, name="ci", scope="submit", days=7)
    listed = await http.get(TOKENS)
    async with database.transaction() as session:
        stored = (await session.scalars(select(Token))).one()

    lasts = datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"])
    assert (made["name"], made["scope"], made["kind"]) == ("ci", "submit", "bearer")
    assert lasts == timedelta(days=7)
    assert [token["name"] for token in listed.json()["tokens"]] == ["ci"]
    assert made["token"] not in listed.text
    assert made["token"] not in str(vars(stored))
    assert len(stored.digest) == 64


async def test_a_revoked_token_is_gone_and_its_name_is_free(http: httpx.AsyncClient) -> None:
    first = await make(http, name="ci")
    twice = await http.post(TOKENS, json={"name": "ci"})
    before = await http.get(EXPERIMENTS, headers=bearer(first))
    revoked = await http.post(f"{TOKENS}/ci/revoke")
    after = await http.get(EXPERIMENTS, headers=bearer(first))
    again = await http.post(f"{TOKENS}/ci/revoke")
    second = await make(http, name="ci")

    assert (before.status_code, after.status_code) == (200, 401)
    assert twice.status_code == 409
    assert "there is a token named ci already" in twice.json()["detail"]
    assert revoked.json()["revoked_at"] is not None
    assert again.status_code == 404
    assert second["token"] != first["token"]


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": "a b"}, "/name"),
        ({"name": "x" * 65}, "/name"),
        ({}, "/name"),
        ({"name": "ci", "scope": "everything"}, "/scope"),
        ({"name": "ci", "days": 0}, "/days"),
        ({"name": "ci", "days": 3_651}, "/days"),
        ({"name": "ci", "hours": 3}, "/hours"),
    ],
)
async def test_tokens_that_cannot_be_are_refused(
    wanted: dict[str, Any], pointer: str, http: httpx.AsyncClient
) -> None:
    answer = await http.post(TOKENS, json=wanted)

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_link_lets_one_browser_in_once_to_read(http: httpx.AsyncClient) -> None:
    link = (await http.post("/api/v1/login-links")).json()["url"]
    http.headers.pop("Authorization")
    opened = await http.get(link)
    cookie = opened.headers["set-cookie"]
    opened_again = await http.get(link)
    read = await http.get(EXPERIMENTS)  # with the cookie, as a browser sends it
    submitted = await http.post(EXPERIMENTS, json={})
    as_bearer = {"Authorization": f"Bearer {opened.cookies['polar']}"}
    elsewhere = await http.get(EXPERIMENTS, headers=as_bearer)

    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert opened_again.status_code == 401
    assert read.status_code == 200
    assert submitted.status_code == 403
    assert elsewhere.status_code == 401


async def test_a_link_is_no_token_and_a_token_no_link(http: httpx.AsyncClient) -> None:
    made = await make(http, name="ci")
    link = (await http.post("/api/v1/login-links")).json()["url"]
    text = link.partition("link=")[2]

    as_token = await http.get(EXPERIMENTS, headers=bearer({"token": text}))
    as_link = await http.get("/api/v1/login", params={"link": made["token"]})

    assert (as_token.status_code, as_link.status_code) == (401, 401)


async def test_an_old_link_lets_nobody_in(http: httpx.AsyncClient, database: Database) -> None:
    link = (await http.post("/api/v1/login-links")).json()["url"]
    async with database.transaction() as session:
        await session.execute(update(Token).values(expires_at=Token.created_at))

    answer = await http.get(link)

    assert answer.status_code == 401
    assert "polar login" in answer.json()["detail"]


async def test_a_browser_may_no_more_and_no_longer_than_who_let_it_in(
    http: httpx.AsyncClient,
) -> None:
    made = await make(http, name="guest", scope="submit", days=1)
    too_much = await http.post(
        "/api/v1/login-links", params={"scope": "steer"}, headers=bearer(made)
    )
    link = await http.post("/api/v1/login-links", headers=bearer(made))
    await http.get(link.json()["url"])
    (browser,) = [
        token for token in (await http.get(TOKENS)).json()["tokens"] if token["kind"] == "cookie"
    ]
    await http.post(f"{TOKENS}/guest/revoke")
    http.headers.pop("Authorization")
    logged_out = await http.get(EXPERIMENTS)

    assert too_much.status_code == 403
    assert browser["expires_at"] == made["expires_at"]
    assert logged_out.status_code == 401
