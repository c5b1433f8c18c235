"""By which names the API answers: a page that points its own name at it must learn nothing."""

import socket

import httpx
import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.service.conftest import OWNER

DATASETS = "/api/v1/datasets"


async def asked_as(host: str, settings: Settings, path: str = DATASETS) -> httpx.Response:
    api = create_app(settings)
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with (
        api.router.lifespan_context(api),
        httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=OWNER
        ) as client,
    ):
        return await client.get(path, headers={b"host": host.encode("latin-1")})


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8650",
        "127.0.0.1:8650",
        "[::1]:8650",
        "192.168.7.20:8650",
        socket.gethostname(),
    ],
)
async def test_addresses_and_the_names_of_this_machine_are_answered(
    host: str, settings: Settings
) -> None:
    assert (await asked_as(host, settings)).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8650",
        "under_score.evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example#localhost",
        "[::1",
        "[]",
        "",
        "\xe4.example",
    ],
)
@pytest.mark.parametrize("path", [DATASETS, "/openapi.json", "/nowhere"])
async def test_every_other_name_is_refused_with_a_problem(
    host: str, path: str, settings: Settings
) -> None:
    answer = await asked_as(host, settings, path)

    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:polar:problem:misdirected"
    assert "localhost" in answer.json()["detail"]
    assert "POLAR_API_HOSTS" in answer.json()["detail"]


async def test_names_can_be_added(settings: Settings) -> None:
    settings = settings.model_copy(update={"api_hosts": "polar.lab.example  Api"})

    answers = [await asked_as(host, settings) for host in ("polar.lab.example:80", "api", "b")]

    assert [answer.status_code for answer in answers] == [200, 200, 421]


async def test_an_api_for_other_machines_answers_by_its_name_and_by_no_strangers(
    settings: Settings,
) -> None:
    remote = {"api_host": "0.0.0.0", "api_allow_remote": True}
    settings = settings.model_copy(update=remote)

    answers = [await asked_as(host, settings) for host in (socket.gethostname(), "evil.example")]

    assert [answer.status_code for answer in answers] == [200, 421]
