"""optuna-dashboard on a real database of Optuna's: it shows, and it changes nothing."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import optuna
import psycopg
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from playwright.async_api import async_playwright, expect
from pydantic import SecretStr
from sqlalchemy import NullPool

from service.dashboard import READ_ONLY, STYLE, create_app
from service.embedded.postgres import Postgres
from service.settings import Settings
from tests.service.conftest import OWNER, TOKEN

STUDY_ID = "7d9a4b1e-0000-4000-8000-000000000000"
#: A pool would leave its connections to the garbage collector.
UNPOOLED = {"poolclass": NullPool}
PATIENCE_MS = 60_000


@contextmanager
def optuna_database(postgres: Postgres) -> Iterator[Settings]:
    """Settings with an empty database for Optuna; there is no other one."""
    name = f"optuna_{uuid.uuid4().hex}"
    url = SecretStr(postgres.url(name))
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
        token = SecretStr(TOKEN)
        yield Settings(
            database_url=url, optuna_url=url, artifacts=Path(), mlflow_url="", token=token
        )
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def make_study(settings: Settings) -> optuna.Study:
    """As the broker leaves it: one trial, with what our users look for."""
    storage = RDBStorage(settings.optuna_sqlalchemy_url, engine_kwargs=UNPOOLED)
    study = optuna.create_study(storage=storage, study_name="mine", direction="maximize")
    study.set_metric_names(["clean_polarisation"])
    study.set_user_attr("study_id", STUDY_ID)
    trial = study.ask()
    trial.suggest_float("model.beta", 0.01, 100, log=True)
    trial.report(0.5, step=100)
    trial.set_user_attr("experiment_id", "some experiment")
    study.tell(trial, 0.75)
    return study


@dataclass(frozen=True)
class Stored:
    settings: Settings
    study: optuna.Study


@pytest.fixture(scope="module")
def stored(postgres: Postgres) -> Iterator[Stored]:
    """A study that nobody changes; Optuna takes its time to make its tables."""
    with optuna_database(postgres) as settings:
        yield Stored(settings, make_study(settings))


@pytest.fixture
async def http(stored: Stored) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(stored.settings))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers=OWNER
    ) as client:
        yield client


async def test_a_study_is_shown_with_its_metrics_attributes_and_intermediate_values(
    http: httpx.AsyncClient, stored: Stored
) -> None:
    listed = (await http.get("/api/studies")).json()
    shown = (await http.get(f"/api/studies/{stored.study._study_id}")).json()

    (trial,) = shown["trials"]
    assert [one["study_name"] for one in listed["study_summaries"]] == ["mine"]
    assert shown["objective_names"] == ["clean_polarisation"]
    assert trial["values"] == [0.75]
    assert trial["intermediate_values"] == [{"step": 100, "value": 0.5}]
    assert [one["key"] for one in trial["user_attrs"]] == ["experiment_id"]


async def test_its_pages_need_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    page = await http.get("/dashboard")
    bundle = await http.get("/static/bundle.js")

    assert 'src="/static/bundle.js"' in page.text
    assert "//" not in page.text.replace("http://www.w3.org/2000/svg", "")
    assert bundle.status_code == 200


async def test_a_page_hides_what_it_would_be_refused(http: httpx.AsyncClient) -> None:
    page = await http.get("/dashboard/studies/1")

    assert page.content.count(STYLE) == 1
    assert int(page.headers["content-length"]) == len(page.content)
    assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.browser
async def test_nothing_on_the_pages_asks_for_a_change_or_rates_a_single_parameter(
    postgres: Postgres, chromium: str
) -> None:
    with optuna_database(postgres) as settings:
        single = make_study(settings)
        storage = RDBStorage(settings.optuna_sqlalchemy_url, engine_kwargs=UNPOOLED)
        double = optuna.create_study(storage=storage, study_name="two", direction="maximize")
        for value in (0.25, 0.5, 0.75):
            at_once = single.ask(), double.ask()
            for trial in at_once:
                trial.suggest_float("model.beta", 0.01, 100, log=True)
            at_once[1].suggest_int("model.latent_dim", 2, 16)
            single.tell(at_once[0], value)
            double.tell(at_once[1], value)
        with serving(settings) as url:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=chromium,
                    args=["--no-sandbox", "--disable-background-networking"],
                )
                page = await browser.new_page(extra_http_headers=OWNER)
                await page.goto(f"{url}/dashboard")
                await expect(page.get_by_text("1. mine")).to_be_visible(timeout=PATIENCE_MS)
                for name in ("Create", "rename study", "delete study"):
                    button = page.get_by_role("button", name=name, include_hidden=True).first
                    await expect(button).to_be_hidden()
                await page.goto(f"{url}/dashboard/studies/{double._study_id}")
                importance = page.get_by_text("Hyperparameter Importance").first
                await expect(importance).to_be_visible(timeout=PATIENCE_MS)
                await expect(page.locator("a[href$='/note']")).to_be_hidden()
                await page.goto(f"{url}/dashboard/studies/{single._study_id}")
                # this card is drawn after that of the importance
                await expect(page.locator("#graph-timeline .point").first).to_be_attached(
                    timeout=PATIENCE_MS
                )
                await expect(importance).to_be_attached()
                await expect(importance).to_be_hidden()
                await browser.close()


async def test_our_id_leads_to_the_page_of_the_study(
    http: httpx.AsyncClient, stored: Stored
) -> None:
    known = await http.get(f"/polar/{STUDY_ID}")
    unknown = await http.get(f"/polar/{uuid.uuid4()}")

    assert known.status_code == 303
    assert (
        httpx.URL(known.headers["location"]).path == f"/dashboard/studies/{stored.study._study_id}"
    )
    assert unknown.status_code == 404
    assert "has not started yet" in unknown.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/studies/1"),
        ("POST", "/api/studies"),
        ("POST", "/api/studies/1/rename"),
        ("POST", "/api/trials/1/tell"),
        ("PUT", "/api/studies/1/note"),
    ],
)
async def test_nothing_can_be_changed(
    method: str, path: str, http: httpx.AsyncClient, stored: Stored
) -> None:
    answer = await http.request(method, path, json={"study_name": "new", "body": "", "state": ""})

    assert answer.status_code == 405
    assert "only shows" in answer.json()["reason"]
    assert optuna.get_all_study_names(stored.study._storage) == ["mine"]


def test_its_connections_cannot_write(stored: Stored) -> None:
    url = stored.settings.optuna_sqlalchemy_url
    storage = RDBStorage(url, engine_kwargs={**UNPOOLED, "connect_args": READ_ONLY})

    with pytest.raises(StorageInternalError) as raised:
        storage.delete_study(stored.study._study_id)

    assert "read-only transaction" in str(raised.value.__cause__)
    assert len(stored.study._storage.get_all_studies()) == 1


@pytest.mark.parametrize("path", ["/", "/dashboard", "/api/studies", f"/polar/{STUDY_ID}"])
async def test_who_shows_no_token_sees_nothing(path: str, http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]

    answer = await http.get(path)

    assert answer.status_code == 401
    assert "`polar login`" in answer.json()["detail"]
    assert "mine" not in answer.text


async def test_strangers_names_are_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/studies", headers={"host": "evil.example"})

    assert answer.status_code == 421
    assert "mine" not in answer.text


def test_the_process_waits_for_optunas_tables_and_serves_the_socket_that_it_inherits(
    postgres: Postgres,
) -> None:
    with optuna_database(postgres) as settings, serving(settings) as url:
        make_study(settings)
        answer = httpx.get(f"{url}/api/studies", headers=OWNER, timeout=120)

    assert [one["study_name"] for one in answer.json()["study_summaries"]] == ["mine"]


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The address of the process that serves the dashboard."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port, descriptor = listening.getsockname()[1], listening.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "service.dashboard"],
            env=os.environ
            | {
                "POLAR_DATABASE_URL": settings.database_url.get_secret_value(),
                "POLAR_OPTUNA_URL": settings.database_url.get_secret_value(),
                "POLAR_ARTIFACTS": tempfile.gettempdir(),
                "POLAR_MLFLOW_URL": "",
                "POLAR_DASHBOARD_FD": str(descriptor),
                "POLAR_TOKEN": TOKEN,
            },
            pass_fds=[descriptor],
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            code = process.wait(60)
    assert code in (0, -signal.SIGTERM)
