"""Browsers that log themselves out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from playwright.async_api import expect

from service.api.pages import logout
from service.tokens import Scope
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.api.pages.conftest import Look

LOG_OUT = "Log out</button>"


@asynccontextmanager
async def browser(api: FastAPI, http: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that the owner has let in."""
    link = (await http.post("/api/v1/login-links")).json()["url"]
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get(link)).status_code == 303
        yield client


async def browsers(http: httpx.AsyncClient) -> int:
    return len((await http.get("/api/v1/tokens")).json()["tokens"])


async def test_a_browser_that_logs_out_ends_its_cookie_alone(
    api: FastAPI, http: httpx.AsyncClient
) -> None:
    async with browser(api, http) as leaving, browser(api, http) as staying:
        before = await leaving.get("/")
        cookie = {"Cookie": f"polar={leaving.cookies['polar']}"}

        answer = await leaving.post("/logout", headers={"Origin": "http://localhost"})

        kept = dict(leaving.cookies)
        stolen = await leaving.get("/", headers=cookie)  # by whoever has read it before
        other = await staying.get("/")

    assert LOG_OUT in before.text
    assert (answer.status_code, kept) == (200, {})
    assert "This browser is logged out" in answer.text
    assert LOG_OUT not in answer.text
    assert (stolen.status_code, "was revoked" in stolen.text) == (401, True)
    assert LOG_OUT not in stolen.text
    assert other.status_code == 200
    assert await browsers(http) == 1


async def test_a_page_of_another_site_logs_nobody_out(
    api: FastAPI, http: httpx.AsyncClient
) -> None:
    async with browser(api, http) as client:
        refused = await client.post("/logout", headers={"Origin": "http://evil.test"})
        by_link = await client.get("/logout")
        after = await client.get("/")

    assert (refused.status_code, by_link.status_code, after.status_code) == (403, 405, 200)


@pytest.mark.parametrize("is_owner", [True, False])
async def test_a_token_is_not_logged_out_even_beside_a_cookie(
    api: FastAPI, http: httpx.AsyncClient, is_owner: bool
) -> None:
    made = (await http.post("/api/v1/tokens", json={"name": "anna", "scope": "admin"})).json()
    token = OWNER if is_owner else {"Authorization": f"Bearer {made['token']}"}
    async with browser(api, http) as client:
        answer = await client.post("/logout", headers=token)
        after = [await client.get("/"), await http.get("/", headers=token)]

    assert answer.status_code == 403
    assert "came in the header Authorization" in answer.text
    assert [each.status_code for each in after] == [200, 200]


def test_who_may_only_read_may_leave() -> None:
    (route,) = logout.router.routes
    assert getattr(route, "scope", None) is Scope.READ


@pytest.mark.browser
async def test_the_button_of_a_page_logs_the_browser_out(look: "Look", study_id: UUID) -> None:
    async with look(f"/studies/{study_id}") as page:
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "This browser is logged out"
        )
        assert await page.context.cookies() == []
        answer = await page.goto("/")
        assert answer is not None
        assert answer.status == 401
        await expect(page.get_by_role("button", name="Log out")).to_have_count(0)
