"""How soon API, queue and commands answer, how much they take, and what an idle stack costs.

    python -m benchmarks.latency --out DIR

By the wall clock, so the machine must be idle. It takes 3 minutes.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from benchmarks.bare_service import BareService, bare_service, content
from benchmarks.processes import idle_share, pss_mib
from benchmarks.results import Bar, Cell, Measured, Options, Table, run
from service.client import Client
from service.embedded.running import running_stack

#: Clients that ask at the same time when throughput is measured.
CLIENTS = 8
AGENTS = 2
#: How long a stack rests after its start before it is called idle.
REST_S = 20.0
#: The least work that a run can have.
TRIVIAL = {
    "model": {"latent_dim": 2, "widths": [1, 1, 1, 1, 1]},
    "training": {"steps": 1},
    "diagnostics": {"images": 50, "information_images": 0},
}


def main() -> None:
    run("latency", measured, __doc__ or "")


def measured(options: Options) -> Measured:
    api, queue = asyncio.run(_of_bare_service(options.quick))
    tables, bars = _of_stack(options.quick)
    return Measured([api, queue, *tables], bars)


async def _of_bare_service(quick: bool) -> tuple[Table, Table]:
    requests, jobs = (40, 40) if quick else (400, 500)
    async with bare_service() as service:
        api: list[list[Cell]] = [
            [name, *_latencies(ask, requests), _throughput(ask, requests)]
            for name, ask in _questions(service).items()
        ]
        await service.work_off(CLIENTS)  # what the submissions have queued
        queue: list[list[Cell]] = []
        for workers in (1, 4):
            await service.submit(range(jobs))
            begin = time.perf_counter()
            await service.work_off(workers)
            queue.append([workers, jobs, jobs / (time.perf_counter() - begin)])
    title = f"The API, {requests} requests of one client after another, and {CLIENTS} at once"
    return (
        Table(title, ["request", "p50, ms", "p95, ms", "requests/s"], api),
        Table(
            "The queue: runs that are claimed and finished without work, workers in one process",
            ["workers", "runs", "runs/s"],
            queue,
        ),
    )


def _questions(service: BareService) -> dict[str, Callable[[int], httpx.Response]]:
    """What is asked of the API; every submission has a new seed, and so a run of its own."""
    client = service.client
    made = client.post("/experiments", json=content([2**31])).raise_for_status().json()
    path = f"/experiments/{made['id']}"
    runs = f"/runs/{made['runs'][0]['id']}"
    seeds = iter(range(10**9))
    return {
        "submit an experiment": lambda _: client.post("/experiments", json=content([next(seeds)])),
        "get an experiment": lambda _: client.get(path),
        "get a run": lambda _: client.get(runs),
        "list experiments": lambda _: client.get("/experiments"),
    }


def _latencies(ask: Callable[[int], httpx.Response], requests: int) -> list[float]:
    seconds = []
    for number in range(requests):
        begin = time.perf_counter()
        ask(number).raise_for_status()
        seconds.append(time.perf_counter() - begin)
    return [float(np.percentile(seconds, percent)) * 1e3 for percent in (50, 95)]


def _throughput(ask: Callable[[int], httpx.Response], requests: int) -> float:
    begin = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for answer in pool.map(ask, range(requests)):
            answer.raise_for_status()
    return requests / (time.perf_counter() - begin)


def _of_stack(quick: bool) -> tuple[list[Table], list[Bar]]:
    home = Path(tempfile.mkdtemp(prefix="polar-benchmark-"))
    home.chmod(0o755)  # as root, Postgres runs as another user, who must get in
    rest_s, runs, times = (2.0, 4, 1) if quick else (REST_S, 40, 5)
    try:
        with running_stack(home, agents=AGENTS, device="cpu"):
            pass  # makes the databases
        begin = time.monotonic()
        with running_stack(home, agents=AGENTS, device="cpu") as stack:
            up_s = time.monotonic() - begin
            time.sleep(rest_s)
            processes = {**stack.processes, "supervisor": stack.pid}
            mib, share = pss_mib(processes), idle_share(processes, rest_s)
            commands = {
                name: _seconds_of_command(home, arguments, times)
                for name, arguments in {"polar --help": ["--help"], "polar list": ["list"]}.items()
            }
            runs_per_s = _runs_per_s(home, runs)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    tables = [
        Table(
            "An idle stack, after a warm start",
            ["process", "PSS, MiB"],
            [*mib.items(), ["all", sum(mib.values())]],
        ),
        Table(
            "Commands",
            ["command", "s"],
            [["polar up, warm, until it is healthy", up_s], *commands.items()],
        ),
        Table(
            f"Runs of a single step by {AGENTS} warm agents, from submission to the last end",
            ["runs", "runs/s"],
            [[runs, runs_per_s]],
        ),
    ]
    return tables, [
        Bar("idle stack, PSS", sum(mib.values()), 450, "MiB"),
        Bar("idle stack, share of a core", share * 100, 2, "%"),
        Bar("polar up, warm", up_s, 5, "s"),
        Bar("polar list", commands["polar list"], 0.5, "s"),
    ]


def _seconds_of_command(home: Path, arguments: Sequence[str], times: int) -> float:
    command = [sys.executable, "-P", "-m", "polar_latents", *arguments]
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        subprocess.run(
            command,
            env=os.environ | {"POLAR_HOME": str(home)},
            check=True,
            capture_output=True,
        )
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def _runs_per_s(home: Path, runs: int) -> float:
    with Client(home=home) as client:
        for seeds in ([2**31 + agent for agent in range(AGENTS)], list(range(runs))):
            begin = time.monotonic()  # that of the second experiment, whose agents are warm
            made = client.submit(content(seeds, **TRIVIAL))
            for _ in client.watch(made.id):
                pass
    return runs / (time.monotonic() - begin)


if __name__ == "__main__":
    main()
