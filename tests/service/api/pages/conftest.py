"""What tests of the pages share: a browser that was let in, and a study to look at."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Literal
from uuid import UUID

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.conftest import Trials, Worker

Scheme = Literal["light", "dark"]
Pages = AsyncIterator[Page]

NAME = "a" * 60
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


Look = Callable[..., AbstractAsyncContextManager[Page]]

# A page rests for longer the busier the machine is; it need not be in time, but in the end.
expect.set_options(timeout=90_000)


@pytest.fixture
def look(served: str, http: httpx.AsyncClient) -> Look:
    """Opens a browser that was let in; at its end it must have reported no error."""

    @asynccontextmanager
    async def look(
        path: str = "/",
        width: int = 1280,
        scheme: Scheme = "light",
        scope: str = "steer",
        has_script: bool = True,
    ) -> Pages:
        link = (await http.post("/api/v1/login-links", params={"scope": scope})).json()["url"]
        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=ARGUMENTS
            )
            page = await chromium.new_page(
                base_url=served,
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
                java_script_enabled=has_script,
            )
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            await page.goto(link)
            await page.goto(path)
            yield page
            assert errors == []
            await chromium.close()

    return look


@pytest.fixture
async def study_id(worker: "Worker", create: Create, trials: "Trials") -> UUID:
    """A study with a finished training, one that waits, and a name that has no blanks."""
    await worker.announce()
    study_id = await create(name=NAME)
    await trials.end(await trials.begin(study_id, beta=2.0), 0.5)
    await trials.begin(study_id, beta=20.0)
    return study_id
