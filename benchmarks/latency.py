"""How soon API, queue and commands answer, how much they take, and what an idle stack costs.

    python -m benchmarks.latency --out DIR

By the wall clock, so the machine must be idle. It takes 6 minutes.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

import benchmarks.stack
from benchmarks.bare_service import BareService, bare_service, content
from benchmarks.homes import temporary_home
from benchmarks.results import Bar, Cell, Measured, Options, Table, run
from service.client import Client
from service.embedded.running import running_stack

#: Clients that ask at the same time when throughput is measured.
CLIENTS = 8
AGENTS = 2
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
    tables, bars = _of_idle_stack(options.quick)
    return Measured([api, queue, _of_busy_stack(options.quick), *tables], bars)


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


def _of_idle_stack(quick: bool) -> tuple[list[Table], list[Bar]]:
    """What `benchmarks.stack` measures: its starts, its memory while it is idle, and commands."""
    rounds, idle_s, repeats = (1, 2.0, 1) if quick else (3, 30.0, 9)
    stack = benchmarks.stack.measured(rounds, idle_s, repeats)
    idle, warm = stack.resting, [start.wall_s for start in stack.warm]
    up_s = statistics.median(warm)
    seconds = {command.command: command.wall_s for command in stack.commands}
    awake_mib = {program.name: program.pss_mib for program in stack.awake.programs}
    programs = [
        [program.name, program.processes, program.pss_mib, awake_mib.get(program.name)]
        for program in idle.programs
    ]
    processes = sum(program.processes for program in idle.programs)
    tables = [
        Table(
            f"An idle stack, which uses {stack.cpu_percent:.2f} % of a core at rest; with each "
            f"page of a file counted once, as alone on a machine, it has {idle.alone_mib:.0f} MiB",
            ["program", "processes at rest", "PSS at rest, MiB", "PSS soon after the start, MiB"],
            [*programs, ["all", processes, idle.pss_mib, stack.awake.pss_mib]],
        ),
        Table(
            "Commands",
            ["command", "s"],
            [
                ["polar up in a new home", stack.first.wall_s],
                [f"polar up, warm, median of {len(warm)}", up_s],
                *seconds.items(),
            ],
        ),
    ]
    return tables, [
        Bar("idle stack at rest, PSS", idle.pss_mib, 450, "MiB"),
        Bar("idle stack soon after its start, PSS", stack.awake.pss_mib, 450, "MiB"),
        Bar("idle stack at rest, share of a core", stack.cpu_percent, 2, "%"),
        Bar("polar up, warm, until it is healthy", up_s, 5, "s"),
        Bar("polar list", seconds["polar list"], 0.5, "s"),
    ]


def _of_busy_stack(quick: bool) -> Table:
    runs = 4 if quick else 40
    with temporary_home() as home, running_stack(home, agents=AGENTS, device="cpu"):
        rate = _runs_per_s(home, runs)
    title = f"Runs of a single step by {AGENTS} warm agents, from submission to the last end"
    return Table(title, ["runs", "runs/s"], [[runs, rate]])


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
