"""MLflow's own server, asked over REST."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from mlflow import MlflowClient
from pydantic import SecretStr
from starlette.requests import Request

from service.storage import tracking
from service.tokens import Scope
from service.tracking_scopes import scope_of
from workers.tracking import saved_view
from workers.tracking.server import MLflowAway, MLflowRefused, MLflowServer

if TYPE_CHECKING:
    from tests.processes import Mlflow


@pytest.fixture(params=["Postgres", "SQLite"])
def mlflow_on_each(
    request: pytest.FixtureRequest, mlflow: "Mlflow", tmp_path: Path
) -> Iterator["Mlflow"]:
    if request.param == "Postgres":
        yield mlflow
        return
    on_sqlite = type(mlflow)(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    on_sqlite.start()
    yield on_sqlite
    on_sqlite.kill()


async def test_mlflow_keeps_numbers_that_are_sent_twice_once(mlflow_on_each: "Mlflow") -> None:
    values = [0.1, 1 / 3, -2.5e-300, 5e-324, 1.7e308, 3.0, 708.4293487548828]
    numbers = [
        {"key": "loss", "value": value, "step": step, "timestamp": 1_795_348_800_123 + step}
        for step, value in enumerate(values)
    ]

    token = SecretStr(mlflow_on_each.token)
    async with MLflowServer(mlflow_on_each.url, token) as server:
        experiment_id = await server.experiment("numbers", {})
        run_id = await server.create_run(experiment_id, name="one", start_ms=0, tags={})
        await server.log(run_id, metrics=numbers[:4])
        await server.log(run_id, metrics=numbers)
        await server.log(run_id, metrics=numbers)

    history = MlflowClient(mlflow_on_each.url).get_metric_history(run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == list(enumerate(values))


async def test_an_experiment_is_made_once_and_brought_back(
    server: MLflowServer, client: MlflowClient
) -> None:
    name = f"brought back {uuid4()}"
    first = await server.experiment(name, saved_view.experiment_tags())
    client.delete_experiment(first)

    again = await server.experiment(name, saved_view.experiment_tags())

    found = client.get_experiment(first)
    assert again == first
    assert found.lifecycle_stage == "active"


async def test_an_experiment_that_is_there_gets_the_saved_view_that_links_name(
    server: MLflowServer, client: MlflowClient
) -> None:
    # MLflow leaves the page, with an error, where the view of the link is unknown.
    experiment_id = client.create_experiment(name := f"somebody else's {uuid4()}")
    client.set_experiment_tag(experiment_id, "theirs", "kept")

    for _ in range(2):
        assert await server.experiment(name, saved_view.experiment_tags()) == experiment_id

    tags = client.get_experiment(experiment_id).tags
    assert tags["theirs"] == "kept"
    assert tags.items() >= saved_view.experiment_tags().items()
    assert f"mlflow.sharedViewState.{tracking.SAVED_VIEW}" in tags


async def test_an_experiment_is_made_once_by_many_at_once(server: MLflowServer) -> None:
    name = f"raced for {uuid4()}"

    ids = await asyncio.gather(*(server.experiment(name, {}) for _ in range(8)))

    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (200, b"<html>a shop</html>", MLflowRefused, "HTTP 200: <html>a shop</html>"),
        (200, b"[1, 2]", MLflowRefused, "HTTP 200"),
        (404, b"not here", MLflowRefused, "HTTP 404: not here"),
        (403, b"{}", MLflowRefused, "HTTP 403"),
        (503, b"", MLflowAway, "503"),
        (429, b"", MLflowAway, "429"),
    ],
)
async def test_what_is_no_answer_of_mlflow_is_said(
    status: int, body: bytes, error: type[Exception], says: str
) -> None:
    with _answering(status, body) as url:
        async with MLflowServer(url) as server:
            with pytest.raises(error, match=re.escape(says)):
                await server.create_run("1", name="any", start_ms=0, tags={})


async def test_what_mlflow_refuses_is_said_in_its_words(server: MLflowServer) -> None:
    experiment_id = await server.experiment("refusals", {})
    run_id = await server.create_run(experiment_id, name="one", start_ms=0, tags={})
    await server.log(run_id, parameters={"beta": "0.5"})

    with pytest.raises(MLflowRefused, match=r"INVALID_PARAMETER_VALUE.*beta"):
        await server.log(run_id, parameters={"beta": "0.7"})


async def test_recording_needs_steer_and_removing_what_was_deleted_needs_admin(
    server: MLflowServer,
) -> None:
    # As the settings say of POLAR_MLFLOW_TOKEN: with less, deletions are refused for ever.
    needed: list[Scope | None] = []

    async def note(request: httpx.Request) -> None:
        connection = {"type": "http", "method": request.method, "path": request.url.path}
        needed.append(scope_of(Request(connection)))

    server._http.event_hooks["request"].append(note)
    marks = {"polar.run_id": str(uuid4())}
    experiment_id = await server.experiment("to be removed", {})
    run_id = await server.create_run(experiment_id, name="one", start_ms=0, tags=marks)
    await server.put_file(await server.file_root(run_id), "a.txt", b"a")
    to_record = set(needed)
    needed.clear()
    await server.remove_runs(marks)

    assert to_record == {Scope.READ, Scope.STEER}
    assert Scope.ADMIN in needed


@contextmanager
def _answering(status: int, body: bytes) -> Iterator[str]:
    """Some other server, which answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
