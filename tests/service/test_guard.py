"""The door before MLflow and optuna-dashboard, with a real API and an application of a line."""

import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import httpx
import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Send
from starlette.types import Scope as Connection

from service.api.problems import Refused
from service.guard import Guard
from service.settings import DoorSettings
from service.storage import tokens
from service.storage.database import Database
from service.tokens import Scope
from tests.service.conftest import OWNER, TOKEN

PAGE = "http://localhost:5650"


async def behind(connection: Connection, receive: Receive, send: Send) -> None:
    """What the door protects."""
    await PlainTextResponse("the inside")(connection, receive, send)


def scope_of(request: Request) -> Scope | None:
    if request.scope["path"] == "/closed":
        raise Refused(403, "not-served", "nobody gets this")
    wanted = request.scope["path"].strip("/")
    return None if wanted == "open" else Scope(wanted)


def guarded(api_url: str) -> httpx.AsyncClient:
    door = Guard(behind, DoorSettings(token=SecretStr(TOKEN), api_url=api_url), scope_of)
    return httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url=PAGE)


@pytest.fixture
async def http(served: str) -> AsyncIterator[httpx.AsyncClient]:
    async with guarded(served) as client:
        yield client


@pytest.fixture
async def tokens_of(database: Database) -> dict[Scope, dict[str, str]]:
    """What a holder of each scope sends."""
    made = {}
    async with database.transaction() as session:
        for scope in Scope:
            _, token = await tokens.create(session, scope, scope, timedelta(days=1))
            made[scope] = {"Authorization": f"Bearer {token}"}
    return made


async def test_who_shows_enough_gets_in_and_nobody_else(
    http: httpx.AsyncClient, tokens_of: dict[Scope, dict[str, str]]
) -> None:
    ladder = list(Scope)
    nobody = await http.get("/read")
    answers = {
        (needed, held): await http.post(f"/{needed}", headers=tokens_of[held])
        for needed in ladder
        for held in ladder
    }

    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"] == 'Bearer realm="polar"'
    assert "`polar login`" in nobody.json()["detail"]
    for (needed, held), answer in answers.items():
        if held.includes(needed):
            assert (answer.status_code, answer.text) == (200, "the inside")
        else:
            assert answer.status_code == 403
            assert f"needs the scope '{needed}'" in answer.json()["detail"]
            assert f'scope="{needed}"' in answer.headers["www-authenticate"]


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(("scope", "status"), [(None, 401), (Scope.READ, 403)])
async def test_a_browser_is_told_by_a_page_how_to_log_in(
    scope: Scope | None,
    status: int,
    http: httpx.AsyncClient,
    tokens_of: dict[Scope, dict[str, str]],
    served: str,
) -> None:
    shown = tokens_of[scope] if scope else {}

    page = await http.get("/admin", headers={**shown, "Accept": BROWSER})
    script = await http.get("/admin", headers={**shown, "Accept": "*/*"})
    change = await http.post("/admin", headers={**shown, "Accept": BROWSER})

    assert [each.status_code for each in (page, script, change)] == [status] * 3
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<code>polar login</code>" in page.text
    assert f'<a href="{served}">' in page.text
    assert page.headers["www-authenticate"] == script.headers["www-authenticate"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    for each in (script, change):
        assert each.headers["content-type"] == "application/problem+json"
    assert script.headers.keys() >= {"x-request-id"} <= page.headers.keys()


async def test_the_page_repeats_nothing_as_html(http: httpx.AsyncClient) -> None:
    hostile = {"Accept": BROWSER, "Authorization": "<b>secret</b>"}
    page = await http.get("/closed?<script>", headers=hostile)
    named = await http.get("/read", headers={"Accept": BROWSER, "Authorization": "Bas x<b>"})

    assert page.status_code == 403
    assert "<script>" not in page.text
    assert "<b>" not in page.text + named.text
    assert "secret" not in page.text
    assert "&#x27;Bas&#x27;" in named.text


async def test_the_owner_gets_in_without_the_api_and_others_hear_that_it_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        away = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with guarded(away) as http:
        owner = await http.post("/admin", headers=OWNER)
        other = await http.get("/read", headers={"Authorization": f"Bearer {'x' * 43}"})

    assert owner.text == "the inside"
    assert other.status_code == 503
    assert f"the API at {away} does not say who holds this token" in other.json()["detail"]


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ({b"Authorization": b"Bearer \xe9"}, "token"),
        ({b"Authorization": b"Bearer short"}, "token"),
        ({b"Cookie": b'polar="\\351"'}, "cookie"),
    ],
)
async def test_what_cannot_be_a_token_is_asked_of_nobody(
    header: dict[bytes, bytes], what: str
) -> None:
    # The client of the API cannot even send such a header.
    async with guarded("http://127.0.0.1:9") as http:
        answer = await http.get("/read", headers=header)

    assert answer.status_code == 401
    assert f"this service knows no such {what}" in answer.json()["detail"]


async def test_what_answers_in_place_of_the_api_lets_nobody_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Guard(behind, DoorSettings(token=None), scope_of)
    elsewhere = httpx.MockTransport(lambda _: httpx.Response(200, html="<p>a shop</p>"))
    monkeypatch.setattr(door, "_api", httpx.AsyncClient(transport=elsewhere, base_url=PAGE))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url=PAGE) as http:
        answer = await http.get("/read", headers=OWNER)

    assert answer.status_code == 503


async def test_a_revoked_token_and_a_wrong_one_are_named_as_by_the_api(
    http: httpx.AsyncClient, database: Database, tokens_of: dict[Scope, dict[str, str]]
) -> None:
    before = await http.get("/read", headers=tokens_of[Scope.READ])
    async with database.transaction() as session:
        await tokens.revoke(session, "read")
    after = await http.get("/read", headers=tokens_of[Scope.READ])
    wrong = await http.get("/read", headers={"Authorization": OWNER["Authorization"][:-1]})
    basic = await http.get("/read", headers={"Authorization": "Basic cG9sYXI6cG9sYXI="})

    assert before.status_code == 200
    assert [answer.status_code for answer in (after, wrong, basic)] == [401] * 3
    assert "the token 'read' was revoked" in after.json()["detail"]
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    assert "of the kind 'Basic'" in basic.json()["detail"]


async def test_a_browser_that_is_logged_in_gets_in_until_it_is_logged_out(
    http: httpx.AsyncClient, served: str
) -> None:
    async with httpx.AsyncClient(base_url=f"{served}/api/v1", headers=OWNER) as api:
        link = (await api.post("/login-links?scope=steer")).json()["url"]
        cookie = (await api.get(f"{served}{link}")).cookies["polar"]
        browser = {"Cookie": f"other=1; polar={cookie}"}
        as_bearer = {"Authorization": f"Bearer {cookie}"}

        seen = [
            await http.get("/read", headers=browser),
            await http.post("/steer", headers=browser),
        ]
        refused = await http.post("/admin", headers=browser)
        wrong_kind = await http.get("/read", headers=as_bearer)
        (name,) = [token["name"] for token in (await api.get("/tokens")).json()["tokens"]]
        await api.post(f"/tokens/{name}/revoke")
        after = await http.get("/read", headers=browser)

    assert [answer.status_code for answer in seen] == [200, 200]
    assert (refused.status_code, wrong_kind.status_code, after.status_code) == (403, 401, 401)


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://localhost:8650"])
async def test_pages_of_other_servers_change_nothing(origin: str, http: httpx.AsyncClient) -> None:
    from_elsewhere = await http.post("/admin", headers={**OWNER, "Origin": origin})
    from_here = await http.post("/admin", headers={**OWNER, "Origin": PAGE})

    assert from_elsewhere.status_code == 403
    assert f"a page of {origin!r}" in from_elsewhere.json()["detail"]
    assert from_here.status_code == 200


async def test_what_is_open_needs_no_token_and_what_is_closed_no_token_opens(
    http: httpx.AsyncClient,
) -> None:
    is_open = await http.get("/open")
    closed = await http.get("/closed", headers=OWNER)

    assert is_open.text == "the inside"
    assert (closed.status_code, closed.json()["detail"]) == (403, "nobody gets this")


async def test_nothing_of_a_body_is_read_of_who_does_not_get_in_and_no_socket_is_opened() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("something was read")

    async def send(message: Message) -> None:
        sent.append(message)

    door = Guard(behind, DoorSettings(token=SecretStr(TOKEN)), scope_of)
    scope = {"method": "POST", "path": "/admin", "query_string": b"", "headers": []}
    ask = partial(door, receive=receive, send=send)
    await ask({"type": "http", "server": ("localhost", 80), "scheme": "http", **scope})
    await ask({"type": "websocket", **scope})

    assert sent[0]["status"] == 401
    assert sent[-1]["type"] == "websocket.close"
