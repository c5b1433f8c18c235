"""How the API bears a lab: readers beside trainings, watchers, and a thousand seeds at once.

    python -m benchmarks.load --out DIR

It starts a stack of its own, and takes 4 minutes. Readers ask once a second, as people and
programs do that watch something, or again as soon as they are answered, which is as much as they
can do to the service. They show the owner's token; any other is looked up, which costs each
request a statement more. POLAR_API_WORKERS says how many processes the API has.
"""

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.bare_service import content
from benchmarks.homes import temporary_home
from benchmarks.latency import TRIVIAL
from benchmarks.process_tree import cpu_seconds
from benchmarks.results import Bar, Cell, Measured, Options, Table, run
from service.client import Client
from service.embedded.running import RunningStack, find_running, running_stack
from service.homes import token_of

READERS = 20
WATCHERS = 100
SEEDS = 1_000
#: A training that outlasts everything here.
LONG = {"training": {"steps": 10_000_000}, "model": {"latent_dim": 8}}
PREFIX = "/api/v1"


@dataclass(frozen=True)
class Service:
    """The API of a stack, as programs ask it that import nothing of ours."""

    stack: RunningStack
    headers: Mapping[str, str]

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.stack.api_url).netloc, timeout=60)

    def pids(self) -> list[int]:
        """The processes of the API."""
        return [pid for name, pid in self.stack.processes.items() if name.startswith("api")]


class Reader:
    """Asks for one path after the other, and notes how long each answer takes."""

    def __init__(self, service: Service, paths: Sequence[str], pause_s: float = 0.0) -> None:
        self._service, self._paths, self._pause_s = service, paths, pause_s
        self.seconds: dict[str, list[float]] = {path: [] for path in paths}
        self.errors = 0

    def read(self, is_over: Callable[[], bool]) -> None:
        time.sleep(random.uniform(0, self._pause_s))  # people do not ask all at the same moment
        with closing(self._service.connection()) as connection:
            while not is_over():
                for path in self._paths:
                    begin = time.perf_counter()
                    connection.request("GET", PREFIX + path, headers=dict(self._service.headers))
                    answer = connection.getresponse()
                    answer.read()
                    self.seconds[path].append(time.perf_counter() - begin)
                    self.errors += answer.status != 200
                    time.sleep(self._pause_s)


def main() -> None:
    run("load", measured, __doc__ or "")


def measured(options: Options) -> Measured:
    during_s = 2.0 if options.quick else 20.0
    with (
        temporary_home() as home,
        running_stack(home, agents=2, device="cpu"),
        Client(home=home) as client,
    ):
        stack = find_running(home)
        assert stack, "the stack has ended"
        headers = {"Authorization": f"Bearer {token_of(home)}", "Accept-Encoding": "gzip"}
        service = Service(stack, headers)
        paths = _something_to_read(client)
        idle = _read(service, paths, readers=1, during_s=during_s)
        many = _many_seeds(service, paths["experiments"])
        with _two_trainings(client) as trained:
            paced = _read(service, paths, READERS, during_s, pause_s=1.0)
            busy = _read(service, paths, READERS, during_s)
            watched = _watch(service, trained, during_s)
    kinds = {"idle": idle, "once a second": paced, "at once": busy}
    rows: list[list[Cell]] = [
        [name, *(_percentile_of(each, path, q) for each in kinds.values() for q in (50, 99))]
        for name, path in paths.items()
    ]
    title = (
        f"GETs of one client of an idle service; of {READERS} clients beside two trainings, which "
        "ask once a second, or at once, when together they got "
        f"{sum(map(len, _all_of(busy))) / during_s:.0f} answers/s; "
        f"{len(service.pids())} processes of the API"
    )
    head = ["GET", *(f"{kind}: p{q}, ms" for kind in kinds for q in (50, 99))]
    tables = [Table(title, head, rows), *many.tables, watched]
    errors = sum(reader.errors for readers in kinds.values() for reader in readers)
    at_idle = _percentile(idle, 99)
    cpu_percent = watched.rows[-1][1]
    assert isinstance(cpu_percent, float)
    bars = [
        Bar("p99 of readers once a second", _percentile(paced, 99) / at_idle, 10, "x idle p99"),
        Bar("p99 of readers at once", _percentile(busy, 99) / at_idle, 10, "x idle p99"),
        Bar("answers other than 200", errors, 0, ""),
        Bar(f"{WATCHERS} watchers", cpu_percent, 10, "% of a core"),
        *many.bars,
    ]
    return Measured(tables, bars)


def _something_to_read(client: Client) -> dict[str, str]:
    """Experiments, runs and a study that have ended; the paths at which they are shown."""
    made = [client.submit(content([2 * n, 2 * n + 1], **TRIVIAL)) for n in range(5)]
    study = client.create_study(
        {
            "base": content([0], **TRIVIAL),
            "search": {"model.beta": {"log_uniform": [0.1, 10]}},
            "budget": {"trials": 4},
        }
    )
    for experiment in made:
        for _ in client.watch(experiment.id):
            pass
    while client.study(study.id).finished_at is None:
        time.sleep(0.5)
    return {
        "experiments": "/experiments",
        "an experiment": f"/experiments/{made[0].id}",
        "a run": f"/runs/{made[0].runs[0].id}",
        "studies": "/studies",
        "a study": f"/studies/{study.id}",
    }


def _read(
    service: Service,
    paths: Mapping[str, str],
    readers: int,
    during_s: float,
    pause_s: float = 0.0,
) -> Sequence[Reader]:
    all_of_them = [Reader(service, list(paths.values()), pause_s) for _ in range(readers)]
    end = time.monotonic() + during_s
    with ThreadPoolExecutor(readers) as pool:
        list(pool.map(lambda reader: reader.read(lambda: time.monotonic() > end), all_of_them))
    return all_of_them


def _many_seeds(service: Service, path: str) -> Measured:
    """Submit and cancel an experiment of many seeds while somebody else reads."""
    is_over = threading.Event()
    reader = Reader(service, [path])
    body = json.dumps(content(range(10**6, 10**6 + SEEDS), **LONG))
    with ThreadPoolExecutor(1) as pool, closing(service.connection()) as connection:
        reading = pool.submit(reader.read, is_over.is_set)
        time.sleep(1)
        alone = _timed(reader, lambda: time.sleep(2))
        submitted = _timed(reader, lambda: _post(service, connection, "/experiments", body))
        cancel = f"/experiments/{submitted.answer['id']}/cancel"
        cancelled = _timed(reader, lambda: _post(service, connection, cancel, None))
        is_over.set()
        reading.result()
    rows: list[list[Cell]] = [
        [what, timed.seconds, len(timed.others), 1e3 * max(timed.others, default=0.0)]
        for what, timed in (
            ("nothing", alone),
            (f"POST of {SEEDS:,} seeds", submitted),
            ("its cancellation", cancelled),
        )
    ]
    title = f"An experiment of {SEEDS:,} seeds, and a client that lists experiments meanwhile"
    head = ["meanwhile", "s", "other answers", "longest of them, ms"]
    return Measured(
        [Table(title, head, rows)],
        [
            Bar(f"POST of {SEEDS:,} seeds", submitted.seconds, 1, "s"),
            Bar("its cancellation", cancelled.seconds, 2, "s"),
        ],
    )


@dataclass(frozen=True)
class Timed:
    seconds: float
    answer: Any
    #: The seconds of the answers that somebody else got meanwhile.
    others: Sequence[float]


def _timed(reader: Reader, work: Callable[[], Any]) -> Timed:
    (seconds,) = reader.seconds.values()
    first, begin = len(seconds), time.perf_counter()
    answer = work()
    took = time.perf_counter() - begin
    time.sleep(0.2)  # until the reader has the answer to what it asked meanwhile
    return Timed(took, answer, seconds[first:])


def _post(
    service: Service, connection: http.client.HTTPConnection, path: str, body: str | None
) -> dict[str, Any]:
    headers = {
        **service.headers,
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
    }
    connection.request("POST", PREFIX + path, body, headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    assert answer.status < 400, said
    return said


@contextmanager
def _two_trainings(client: Client) -> Iterator[str]:
    """Two trainings that go on; the path of the events of one of them."""
    made = client.submit(content([7, 8], **LONG))
    while any(run.progress is None for run in client.experiment(made.id).runs):
        time.sleep(0.5)
    yield f"/runs/{made.runs[0].id}/events"
    client.cancel(made.id)


def _watch(service: Service, path: str, during_s: float) -> Table:
    """The processor time that watchers cost the API, beside a training that reports progress."""
    rows: list[list[Cell]] = []
    for watchers in (0, 1, WATCHERS):
        with ExitStack() as stack:
            sockets = [stack.enter_context(_watcher(service, path)) for _ in range(watchers)]
            is_over, received = threading.Event(), [0]
            thread = threading.Thread(target=_receive, args=(sockets, is_over, received))
            thread.start()
            time.sleep(3)  # they have connected, and got the present state
            received[0], begin = 0, time.monotonic()
            before = cpu_seconds(service.pids())
            time.sleep(during_s)
            used = cpu_seconds(service.pids()) - before
            took = time.monotonic() - begin
            is_over.set()
            thread.join()
        rows.append([watchers, 100 * used / took, received[0] / took / 1024])
    head = ["watchers", "API, % of a core", "received, KiB/s"]
    return Table("Watchers of the events of one training", head, rows)


@contextmanager
def _watcher(service: Service, path: str) -> Iterator[socket.socket]:
    address = urlsplit(service.stack.api_url)
    with socket.create_connection((str(address.hostname), address.port or 80)) as watcher:
        lines = [f"GET {PREFIX}{path} HTTP/1.1", f"Host: {address.netloc}"]
        lines += [f"{name}: {value}" for name, value in service.headers.items()]
        watcher.sendall("\r\n".join([*lines, "", ""]).encode())
        watcher.settimeout(60)
        answer = watcher.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        yield watcher


def _receive(
    sockets: Sequence[socket.socket], is_over: threading.Event, received: list[int]
) -> None:
    for watcher in sockets:
        watcher.setblocking(False)
    while not is_over.is_set():
        time.sleep(0.2)
        for watcher in sockets:
            try:
                received[0] += len(watcher.recv(1 << 20))
            except BlockingIOError:
                continue


def _all_of(readers: Sequence[Reader]) -> Iterator[list[float]]:
    for reader in readers:
        yield from reader.seconds.values()


def _percentile(readers: Sequence[Reader], percent: float) -> float:
    return float(np.percentile([s for seconds in _all_of(readers) for s in seconds], percent))


def _percentile_of(readers: Sequence[Reader], path: str, percent: float) -> float:
    seconds = [s for reader in readers for s in reader.seconds[path]]
    return float(np.percentile(seconds, percent)) * 1e3


if __name__ == "__main__":
    main()
