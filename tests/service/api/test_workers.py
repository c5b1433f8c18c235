"""Several processes of the API behind one port: what one does, all know, and one may die."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.settings import Settings
from tests.service.conftest import OWNER, TOKEN

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Worker

PATIENCE_S = 60
#: What a process logs when it serves.
STARTED = re.compile(r"Started server process \[(\d+)\]")


def environment_of(settings: Settings) -> dict[str, str]:
    return os.environ | {
        "POLAR_DATABASE_URL": settings.database_url.get_secret_value(),
        "POLAR_ARTIFACTS": str(settings.artifacts),
        "POLAR_MLFLOW_URL": settings.mlflow_url,
        "POLAR_TOKEN": TOKEN,
    }


class Workers:
    """Two processes, of which one can be made to wait, so that the other answers."""

    def __init__(self, settings: Settings, metrics: Path) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/api/v1"
        environment = environment_of(settings) | {
            "POLAR_API_FD": str(self.listening.fileno()),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        }
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "service.api"],
                env=environment,
                pass_fds=[self.listening.fileno()],
            )
            for _ in range(2)
        ]

    @contextmanager
    def only(self, number: int) -> Iterator[httpx.Client]:
        """A client that this process alone answers."""
        other = self.processes[1 - number]
        other.send_signal(signal.SIGSTOP)
        try:
            with httpx.Client(base_url=self.url, headers=OWNER, timeout=PATIENCE_S) as client:
                yield client
        finally:
            other.send_signal(signal.SIGCONT)

    def wait(self) -> None:
        """Until both answer."""
        for number in range(2):
            with self.only(number) as client:
                client.get("/healthz").raise_for_status()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.listening.close()


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[Workers]:
    (tmp_path / "metrics").mkdir()
    workers = Workers(settings, tmp_path / "metrics")
    try:
        workers.wait()
        yield workers
    finally:
        workers.end()


def test_what_one_process_did_the_other_knows(workers: Workers, spec_of: "SpecMaker") -> None:
    spec, once = spec_of.as_json(seeds=[0, 1]), {"Idempotency-Key": "k"}

    with workers.only(0) as client:
        first = client.post("/experiments", json=spec, headers=once)
        link = client.post("/login-links").json()["url"]
    with workers.only(1) as client:
        again = client.post("/experiments", json=spec, headers=once)
        opened = client.get(link.removeprefix("/api/v1"))
    with workers.only(0) as client:
        del client.headers["authorization"]
        client.cookies = opened.cookies
        seen = client.get("/experiments")

    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert opened.status_code == 303
    assert [each["id"] for each in seen.json()["experiments"]] == [first.json()["id"]]


def test_a_key_that_comes_to_both_at_once_makes_one_experiment(
    workers: Workers, spec_of: "SpecMaker"
) -> None:
    spec, once = spec_of.as_json(seeds=[0, 1]), OWNER | {"Idempotency-Key": "k"}

    def post(_: int) -> str:
        answer = httpx.post(f"{workers.url}/experiments", json=spec, headers=once, timeout=60)
        return answer.raise_for_status().json()["id"]

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(post, range(8)))
        listed = httpx.get(f"{workers.url}/experiments", headers=OWNER).json()["experiments"]

    assert len(set(ids)) == len(listed) == 1


def test_when_one_is_killed_the_other_answers(workers: Workers) -> None:
    def get(_: int) -> int:
        return httpx.get(f"{workers.url}/experiments", headers=OWNER, timeout=60).status_code

    workers.processes[0].kill()
    workers.processes[0].wait()

    assert [get(number) for number in range(10)] == [200] * 10


def test_requests_to_all_are_counted_together(workers: Workers) -> None:
    for number in range(2):
        with workers.only(number) as client:
            for _ in range(3):
                client.get("/experiments").raise_for_status()

    counts = []
    for number in range(2):
        with workers.only(number) as client:
            counts += counted(client)

    assert counts == [6, 6]


def counted(client: httpx.Client) -> list[float]:
    """How many lists of experiments the service says that it has sent."""
    text = client.get("/metrics").raise_for_status().text
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    return [
        sample.value
        for sample in samples
        if sample.name == "polar_request_seconds_count"
        and sample.labels["route"] == "/experiments"
    ]


def test_one_program_serves_with_as_many_processes_as_it_is_told(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = environment_of(settings) | {
        "POLAR_API_PORT": str(port),
        "POLAR_API_WORKERS": "2",
    }
    command = [sys.executable, "-m", "service.api"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr
        lines = map(STARTED.search, program.stderr)
        first, second = [int(found[1]) for found in islice(filter(None, lines), 2)]
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1", headers=OWNER, timeout=PATIENCE_S
        ) as client:
            for pid in (first, second):
                os.kill(pid, signal.SIGSTOP)
                client.get("/experiments", headers={"Connection": "close"}).raise_for_status()
                os.kill(pid, signal.SIGCONT)
            counts = counted(client)
        os.kill(first, signal.SIGKILL)
        third = next(int(found[1]) for found in filter(None, lines))
        program.terminate()
        rest = program.stderr.read()

    assert (counts, program.returncode) == ([2], 0)
    assert third not in (first, second)
    assert "Traceback" not in rest
    for pid in (first, second, third):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
