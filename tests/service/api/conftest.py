"""The API in this process, on a database of the test's own."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from service.api.app import create_app
from service.settings import Settings


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[FastAPI]:
    api = create_app(settings)
    async with api.router.lifespan_context(api):
        yield api


@pytest.fixture
async def http(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Its errors come as answers, as they do over the wire."""
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://polar/api/v1") as client:
        yield client
