"""Tokens that are made, listed and revoked, and browsers that are let in, through HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from service.api.app import create_app
from service.settings import Settings
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


@asynccontextmanager
async def served_to_a_browser(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    api = create_app(settings)
    transport = httpx.ASGITransport(api)
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as browser,
    ):
        yield browser


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


async def test_the_name_of_an_expired_token_is_free(
    http: httpx.AsyncClient, database: Database
) -> None:
    expired = await make(http, name="ci")
    async with database.transaction() as session:
        await session.execute(update(Token).values(expires_at=Token.created_at))
    listed = (await http.get(TOKENS)).json()["tokens"]

    made = await make(http, name="ci")

    again = (await http.get(TOKENS)).json()["tokens"]
    answers = [await http.get(EXPERIMENTS, headers=bearer(each)) for each in (expired, made)]
    assert [(each["name"], each["has_expired"]) for each in listed] == [("ci", True)]
    assert [(each["name"], each["has_expired"]) for each in again] == [("ci", False)]
    assert [answer.status_code for answer in answers] == [401, 200]
    assert (await http.post(TOKENS, json={"name": "ci"})).status_code == 409


async def test_a_revoked_token_is_gone_and_its_name_is_free(http: httpx.AsyncClient) -> None:
    first = await make(http, name="ci")
    twice = await http.post(TOKENS, json={"name": "ci"})
    before = await http.get(EXPERIMENTS, headers=bearer(first))
    revoked = await http.post(f"{TOKENS}/ci/revoke")
    after = await http.get(EXPERIMENTS, headers=bearer(first))
    again = await http.post(f"{TOKENS}/ci/revoke")  # where the answer was lost
    unknown = await http.post(f"{TOKENS}/nobody/revoke")
    second = await make(http, name="ci")

    assert (before.status_code, after.status_code) == (200, 401)
    assert twice.status_code == 409
    assert "there is a token named ci already" in twice.json()["detail"]
    assert revoked.json()["revoked_at"] is not None
    assert again.json() == revoked.json()
    assert unknown.status_code == 404
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
    shown = await http.get(link, headers={"Accept": "text/html,*/*"})
    read = await http.get(EXPERIMENTS)  # with the cookie, as a browser sends it
    submitted = await http.post(EXPERIMENTS, json={})
    as_bearer = {"Authorization": f"Bearer {opened.cookies['polar']}"}
    elsewhere = await http.get(EXPERIMENTS, headers=as_bearer)

    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert opened_again.status_code == 401
    assert shown.headers["location"] == "/"
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
    assert "older than 5 minutes; `polar login` makes a new one" in answer.json()["detail"]


async def test_a_browser_with_a_used_link_sees_why_it_is_not_let_in(
    http: httpx.AsyncClient,
) -> None:
    link = (await http.post("/api/v1/login-links")).json()["url"]
    await http.get(link)
    http.cookies.clear()
    http.headers.pop("Authorization")

    shown = await http.get(link, headers={"Accept": "text/html,*/*"})

    assert shown.status_code == 401
    assert shown.headers["content-type"].startswith("text/html")
    assert "this link was used already" in shown.text
    assert "no token came" not in shown.text


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


async def test_no_browser_stays_or_comes_in_after_the_token_that_let_it_in(
    http: httpx.AsyncClient, database: Database
) -> None:
    # A request that was let in before the revocation may make its link after it.
    made = await make(http, name="guest")
    links = [
        (await http.post("/api/v1/login-links", headers=bearer(made))).json()["url"]
        for _ in range(2)
    ]
    await http.get(links[0])
    await http.post(f"{TOKENS}/guest/revoke")
    async with database.transaction() as session:
        await session.execute(update(Token).where(Token.kind != "bearer").values(revoked_at=None))
    http.headers.pop("Authorization")
    inside = await http.get(EXPERIMENTS)
    comes_late = await http.get(links[1])

    assert inside.status_code == 401
    assert "ended with the token that let it in" in inside.json()["detail"]
    assert comes_late.status_code == 401


async def test_browsers_of_the_owner_end_with_the_owners_token(
    http: httpx.AsyncClient, settings: Settings
) -> None:
    links = [(await http.post("/api/v1/login-links")).json()["url"] for _ in range(2)]
    changed = settings.model_copy(update={"token": SecretStr("polar_" + "n" * 43)})
    await http.get(links[0])
    http.headers.pop("Authorization")
    before = await http.get(EXPERIMENTS)
    async with served_to_a_browser(changed) as browser:
        browser.cookies = http.cookies
        after, comes_late = await browser.get(EXPERIMENTS), await browser.get(links[1])

    assert (before.status_code, after.status_code, comes_late.status_code) == (200, 401, 401)


async def test_a_browser_lets_no_other_browser_in(http: httpx.AsyncClient) -> None:
    # It would have outlived the browser that let it in.
    await http.get((await http.post("/api/v1/login-links")).json()["url"])
    http.headers.pop("Authorization")

    answer = await http.post("/api/v1/login-links")

    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:polar:problem:bearer-needed"


async def test_stacks_of_one_machine_have_cookies_of_their_own(
    http: httpx.AsyncClient, settings: Settings
) -> None:
    link = (await http.post("/api/v1/login-links")).json()["url"]
    of_home = settings.model_copy(update={"home_id": "7"})
    async with served_to_a_browser(of_home) as browser:
        opened = await browser.get(link)
        inside = await browser.get(EXPERIMENTS)

    assert opened.headers["set-cookie"].startswith("polar-7=")
    assert inside.status_code == 200
