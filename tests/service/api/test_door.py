"""The door of the API: every route, asked without a token, with too little and with enough."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from sqlalchemy import func, update
from starlette.routing import BaseRoute

from service.api import door
from service.api.app import create_app
from service.api.door import Door
from service.api.links import PREFIX
from service.api.pages import live
from service.settings import Settings
from service.storage import tokens
from service.storage.database import Database
from service.storage.tokens import Token
from service.tokens import Scope, is_token, new_token
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

#: What anybody may ask: whether the service is up, and to be let in by a link.
OPEN = {"/api/v1/healthz", "/api/v1/readyz", "/api/v1/login"}
EXPERIMENTS = "/api/v1/experiments"
NONE = {"Authorization": ""}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def tokens_of(database: Database) -> dict[Scope, str]:
    """A token of each scope."""
    async with database.transaction() as session:
        return {
            scope: (await tokens.create(session, scope, scope, timedelta(days=1)))[1]
            for scope in Scope
        }


def operations(api: FastAPI) -> list[tuple[str, str, Any]]:
    return [
        (method.upper(), path, operation)
        for path, methods in api.openapi()["paths"].items()
        for method, operation in methods.items()
    ]


async def ask(
    http: httpx.AsyncClient, method: str, path: str, token: str | None
) -> httpx.Response:
    """Ask for what is not there, so that no request does anything."""
    filled = path.replace("{kind}", "csv").replace("{name}", "nothing")
    for id in ("experiment_id", "run_id", "study_id", "measurement_id"):
        filled = filled.replace(f"{{{id}}}", "00000000-0000-0000-0000-000000000000")
    headers = bearer(token) if token else {}
    return await http.request(method, filled, headers=headers)


def without_door(routes: Iterable[BaseRoute]) -> Iterator[str]:
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from without_door(included.routes)
        elif not isinstance(route, Door):
            yield getattr(route, "path", str(route))


def test_what_is_not_documented_has_a_door_too(api: FastAPI) -> None:
    documents = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
    files = {"/static", "/static-offline-docs"}  # style and scripts, the same everywhere

    assert set(without_door(api.routes)) == documents | files | {
        path.removeprefix(PREFIX) for path in OPEN
    }


async def test_every_route_wants_a_token_and_a_scope(
    api: FastAPI, http: httpx.AsyncClient, tokens_of: dict[Scope, str]
) -> None:
    http.headers.pop("Authorization")
    asked = set()
    for method, path, operation in operations(api):
        if path in OPEN:
            assert "security" not in operation
            continue
        ((needed,),) = [need["Bearer"] for need in operation["security"]]
        before = list(Scope)[: list(Scope).index(Scope(needed))]

        nobody = await ask(http, method, path, None)
        too_little = [await ask(http, method, path, tokens_of[scope]) for scope in before]
        enough = await ask(http, method, path, tokens_of[Scope(needed)])

        assert nobody.status_code == 401, path
        assert nobody.headers["www-authenticate"] == 'Bearer realm="polar"'
        assert [answer.status_code for answer in too_little] == [403] * len(before), path
        assert enough.status_code not in (401, 403), path
        asked.add(needed)
    assert asked == set(Scope)


async def test_what_changes_something_needs_more_than_reading(api: FastAPI) -> None:
    needs = {
        (method, path): operation["security"][0]["Bearer"]
        for method, path, operation in operations(api)
        if path not in OPEN
    }
    posts_that_only_read = {
        path for (method, path), scopes in needs.items() if method == "POST" and scopes == ["read"]
    }

    assert posts_that_only_read == {
        f"{EXPERIMENTS}/validate",
        "/api/v1/studies/validate",
        "/api/v1/login-links",
    }
    assert needs["POST", EXPERIMENTS] == ["submit"]
    assert needs["POST", "/api/v1/runs/{run_id}/cancel"] == ["steer"]


def test_a_route_that_changes_something_must_say_who_may() -> None:
    router = APIRouter(route_class=Door)

    with pytest.raises(TypeError, match="say with `needs` who may"):
        router.post("/something")(lambda: None)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "no token came with this request"),
        ("Basic cG9sYXI6cG9sYXI=", "the header Authorization is of the kind 'Basic'"),
        ("x" * 43, "the header Authorization names no kind"),
        ("Bearer", "this service knows no such token"),
        (f"Bearer {'x' * 43}", "this service knows no such token"),
        (f"Bearer {OWNER['Authorization'][7:-1]}", "this service knows no such token"),
    ],
)
async def test_who_is_nobody_is_told_how_to_become_somebody(
    header: str | None, said: str, http: httpx.AsyncClient
) -> None:
    http.headers.pop("Authorization")
    if header:
        http.headers["Authorization"] = header

    answer = await http.get(EXPERIMENTS)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert "`polar token create NAME`" in answer.json()["detail"]
    assert "x" * 43 not in answer.text


async def test_who_may_too_little_is_told_what_is_missing(
    http: httpx.AsyncClient, tokens_of: dict[Scope, str]
) -> None:
    answer = await http.post(EXPERIMENTS, json={}, headers=bearer(tokens_of[Scope.READ]))

    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:polar:problem:scope-missing"
    assert "polar token create NAME --scope submit" in answer.json()["detail"]
    assert 'scope="submit"' in answer.headers["www-authenticate"]


async def test_revoked_and_expired_tokens_let_nobody_in(
    http: httpx.AsyncClient, database: Database, tokens_of: dict[Scope, str]
) -> None:
    async with database.transaction() as session:
        _, old = await tokens.create(session, "old", Scope.ADMIN, timedelta(seconds=-1))
        await tokens.revoke(session, "steer")

    expired = await http.get(EXPERIMENTS, headers=bearer(old))
    revoked = await http.get(EXPERIMENTS, headers=bearer(tokens_of[Scope.STEER]))

    assert (expired.status_code, revoked.status_code) == (401, 401)
    assert "'old' expired at" in expired.json()["detail"]
    assert "'steer' was revoked" in revoked.json()["detail"]
    assert 'error="invalid_token"' in revoked.headers["www-authenticate"]


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://localhost:9999"])
async def test_a_post_without_a_body_is_refused_from_pages_of_other_sites(
    origin: str, http: httpx.AsyncClient
) -> None:
    path = "/api/v1/runs/00000000-0000-0000-0000-000000000000/cancel"

    from_elsewhere = await http.post(path, headers={"origin": origin})
    from_here = await http.post(path, headers={"origin": "http://localhost"})

    assert from_elsewhere.status_code == 403
    assert from_elsewhere.json()["type"] == "urn:polar:problem:cross-site"
    assert from_here.status_code == 404  # it got as far as the run


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (NONE, 401),
        ({"origin": "http://evil.test"}, 403),
        ({"content-length": str(10**12)}, 413),
    ],
)
async def test_an_upload_is_refused_before_anything_of_it_is_read(
    headers: dict[str, str], status: int, api: FastAPI
) -> None:
    sent = OWNER | {"content-type": "multipart/form-data; boundary=x"} | headers
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/measurements",
        "raw_path": b"/api/v1/measurements",
        "query_string": b"",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {"host": "localhost", **sent}.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }
    answers = []

    async def receive() -> Any:  # noqa: ANN401
        raise AssertionError("something of the body was read")

    async def send(message: Any) -> None:  # noqa: ANN401
        answers.append(message)

    await api(scope, receive, send)

    assert answers[0]["status"] == status


def test_tokens_can_not_be_guessed_and_are_recognised() -> None:
    made = {new_token() for _ in range(100)}

    assert len(made) == 100
    assert all(is_token(token) and token.startswith("polar_") for token in made)
    assert not is_token("x" * 31)
    assert not is_token("x" * 40 + " ")


async def test_the_owners_token_needs_no_database(settings: Settings) -> None:
    nobody = SecretStr("postgresql://polar:secret@127.0.0.1:1/app")
    transport = httpx.ASGITransport(
        create_app(settings.model_copy(update={"database_url": nobody}))
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as http:
        of_owner = await http.get("/models", headers=OWNER)
        of_others = await http.get("/models", headers=bearer("x" * 43))

    assert (of_owner.status_code, of_others.status_code) == (200, 503)


@pytest.mark.parametrize(
    "path",
    ["/api/v1/runs/{run}/events", "/api/v1/experiments/{experiment}/events", "/live/runs/{run}"],
)
@pytest.mark.parametrize("ends", ["revoked", "over"])
async def test_a_stream_tells_nothing_more_to_a_token_that_has_ended(
    path: str,
    ends: str,
    served: str,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(live, "POLL_S", 0.05)
    submission = await submit(spec_of())
    run_id = submission.runs[0].id
    async with database.transaction() as session:
        row, token = await tokens.create(session, "anna", Scope.READ, timedelta(days=1))
    url = served + path.format(run=run_id, experiment=submission.experiment.id)

    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(headers=bearer(token), timeout=30) as reader,
        reader.stream("GET", url) as answer,
    ):
        lines = answer.aiter_lines()
        first = await anext(lines)
        await worker.claim(run_id)
        while not (await anext(lines)).startswith("event"):
            pass
        async with database.transaction() as session:
            if ends == "revoked":
                await tokens.revoke(session, "anna")
            else:
                await session.execute(
                    update(Token).where(Token.id == row.id).values(expires_at=func.now())
                )
        await worker.finish(run_id)
        rest = [line async for line in lines if line.startswith("data")]

    assert first.startswith("event")
    assert not any("succeeded" in line for line in rest)
