"""The page that describes the API works without the internet."""

import asyncio
import re
import socket

import httpx
import pytest
import uvicorn
from playwright.async_api import async_playwright, expect

from service.api.app import create_app
from service.settings import Settings

#: A name as on a network: for `localhost` such pages do without what they ask other hosts for.
HOST = "polar.example"


async def test_the_page_names_no_other_host(http: httpx.AsyncClient) -> None:
    text = (await http.get("/docs")).text
    loaded = re.findall(r'(?:src|href)="([^"]*)"', text)

    assert len(loaded) >= 2
    for address in loaded:
        assert address.startswith("/static-offline-docs/")
        assert (await http.get(address)).status_code == 200
    assert "://" not in text


@pytest.mark.browser
async def test_a_browser_shows_all_operations_and_asks_nobody_else(
    settings: Settings, chromium: str
) -> None:
    api = create_app(settings.model_copy(update={"api_hosts": HOST}))
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api, log_config=None))
    serving = asyncio.create_task(server.serve([listening]))
    home = f"http://{HOST}:{listening.getsockname()[1]}/"
    asked: list[str] = []

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
            ],
        )
        page = await browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(f"{home}docs")
        operations = page.locator(".opblock")
        described = sum(len(path) for path in api.openapi()["paths"].values())
        await expect(operations).to_have_count(described, timeout=60_000)
        await page.wait_for_load_state("networkidle")
        await browser.close()
    server.should_exit = True
    await serving

    assert asked
    assert [url for url in asked if not url.startswith((home, "data:"))] == []
