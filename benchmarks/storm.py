"""Kills or freezes a random process of a stack every few seconds while it carries out tiny runs.

    python -m benchmarks.storm [--runs 200] [--every 3] [--seed N] [--within 3600]

In the end every run must have succeeded once and told of the same steps as all others, and neither
rows nor the queue nor MLflow may have lost, doubled or left anything. If so it ends with code 0,
and otherwise it names every fault. The choices follow from the seed, which it prints; what
becomes of them depends on the machine as well.
"""

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from benchmarks.bare_service import content
from benchmarks.homes import temporary_home
from benchmarks.process_tree import tree_of
from service.client import Client
from service.embedded.running import find_running, running_stack
from service.homes import token_of

AGENTS = 4
#: One stroke in so many freezes a process instead of killing it.
FREEZES = 4
FROZEN_S = (1.0, 20.0)
#: How long MLflow and the queue may take to settle once all runs have ended.
SETTLES_S = 300.0
TINY = {
    "model": {"latent_dim": 2, "widths": [1, 1, 1, 1, 1]},
    "training": {"steps": 30, "checkpoint_every": 10},
    "diagnostics": {"images": 50, "information_images": 0},
}
#: Faults are noticed soon, and however often a run is struck, it never counts as its own fault.
ENVIRONMENT = {
    "POLAR_LEASE_S": "12",
    "POLAR_RENEW_S": "1",
    "POLAR_RESCUE_S": "1",
    "POLAR_HEARTBEAT_S": "1",
    "POLAR_HEARTBEAT_OVER_S": "4",
    "POLAR_MAX_ATTEMPTS": "1000",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}


@dataclass
class Storm:
    """Strokes at the processes of the stack of a home."""

    home: Path
    chance: random.Random
    every_s: float
    strokes: Counter[str] = field(default_factory=Counter)
    _frozen: dict[int, threading.Timer] = field(default_factory=dict)
    _due_at: float = 0.0

    def blow(self) -> None:
        """Strike if it is time."""
        now = time.monotonic()
        if now >= self._due_at:
            self._due_at = now + self.every_s
            self._strike()

    def end(self) -> None:
        """Wake all that is still frozen."""
        for pid, timer in list(self._frozen.items()):
            timer.cancel()
            self._wake(pid)

    def _strike(self) -> None:
        stack = find_running(self.home)
        if stack is None:  # the supervisor writes its file anew
            return
        name = self.chance.choice(sorted(stack.processes))
        pid = self.chance.choice(tree_of(stack.processes[name]))
        freezes, for_s = self.chance.randrange(FREEZES) == 0, self.chance.uniform(*FROZEN_S)
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGSTOP if freezes else signal.SIGKILL)
            if freezes:
                self._freeze(pid, for_s)
            kind = name.partition("-")[0]
            self.strokes[f"{kind} {'frozen' if freezes else 'killed'}"] += 1

    def _freeze(self, pid: int, for_s: float) -> None:
        """Have a thread wake it: whoever strikes may wait for an answer of this very process."""
        timer = threading.Timer(for_s, self._wake, [pid])
        timer.daemon = True
        if earlier := self._frozen.get(pid):
            earlier.cancel()
        self._frozen[pid] = timer
        timer.start()

    def _wake(self, pid: int) -> None:
        self._frozen.pop(pid, None)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Records:
    """What the stack of a home has stored of all its runs."""

    def __init__(self, home: Path, until: float) -> None:
        """Records of a stack whose database answers again before this time of `monotonic`."""
        self._until = until
        known = json.loads((home / "database.json").read_text())
        self._url = "postgresql://{user}:{password}@{host}:{port}/app".format_map(known)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """The rows of a query; Postgres may be struck at any time, and is asked again."""
        while True:
            try:
                with psycopg.connect(self._url, connect_timeout=5) as connection:
                    return list(connection.execute(query))
            except psycopg.OperationalError:
                if time.monotonic() > self._until:
                    raise
                time.sleep(1)

    def states(self) -> Counter[str]:
        """How many runs are in each state."""
        counted = self.rows("SELECT state, count(*) FROM app.runs GROUP BY state")
        return Counter({str(state): int(str(count)) for state, count in counted})

    def faults(self, runs: int) -> list[str]:
        """What is wrong with our rows and with the queue."""
        histories = self.rows(
            "SELECT run_id, count(*) FILTER (WHERE state = 'succeeded'), "
            "(array_agg(state ORDER BY id DESC))[1] FROM app.transitions GROUP BY run_id"
        )
        twice = [
            run for run, successes, last in histories if (successes, last) != (1, "succeeded")
        ]
        told = self.rows(
            "SELECT r.id, r.result IS NULL, "
            "(SELECT array_agg(step ORDER BY step) FROM app.metrics m "
            "WHERE m.run_id = r.id AND key = 'train/loss'), "
            "(SELECT array_agg(step ORDER BY step) FROM app.evaluations e "
            "WHERE e.run_id = r.id) FROM app.runs r"
        )
        steps = Counter(str(row[2:]) for row in told)
        jobs = self.rows(
            "SELECT id, status FROM queue.procrastinate_jobs WHERE status IN ('todo', 'doing')"
        )
        return [
            *([f"states: {dict(self.states())}"] if self.states() != {"succeeded": runs} else []),
            *(f"run {run} did not succeed once, at its end" for run in twice),
            *([f"runs have told of different steps: {steps}"] if len(steps) != 1 else []),
            *(f"run {run} has no result" for run, is_without, *_ in told if is_without),
            *(f"job {job} is {status}" for job, status in jobs),
        ]


def faults_in_mlflow(url: str, runs: int) -> list[str]:
    """What is wrong with MLflow's runs."""
    client = MlflowClient(url)
    try:
        experiments = [each.experiment_id for each in client.search_experiments()]
        found = list(client.search_runs(experiments, max_results=50_000))
    except MlflowException as error:
        return [f"MLflow does not answer: {error}"]
    ours = Counter(run.data.tags.get("polar.run_id") for run in found)
    states = Counter(run.info.status for run in found)
    return [
        *(f"MLflow has run {run} {count} times" for run, count in ours.items() if count != 1),
        *([f"MLflow has {len(ours)} of {runs} runs"] if len(ours) != runs else []),
        *([f"runs in MLflow: {dict(states)}"] if states != {"FINISHED": runs} else []),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two strokes")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--within", type=float, default=3600.0, help="seconds until it gives up")
    options = parser.parse_args()
    say(f"seed {options.seed}: {options.runs} runs, a stroke every {options.every:g} s")
    os.environ.update(ENVIRONMENT)
    faults = weathered(options.runs, options.every, options.seed, options.within)
    for fault in faults:
        say(f"FAULT: {fault}")
    if faults:
        sys.exit(1)
    say(f"all {options.runs} runs have succeeded once")


def weathered(runs: int, every_s: float, seed: int, within_s: float) -> Sequence[str]:
    """Carry out so many runs in a storm; returns what is wrong in the end."""
    with temporary_home() as home, running_stack(home, agents=AGENTS, device="cpu") as stack:
        with Client(home=home) as client:
            for first in range(0, runs, 50):
                client.submit(content(range(first, min(first + 50, runs)), **TINY))
        os.environ["MLFLOW_TRACKING_TOKEN"] = token_of(home) or ""
        begin, said_at = time.monotonic(), 0.0
        records = Records(home, begin + within_s + SETTLES_S)
        storm = Storm(home, random.Random(seed), every_s)
        while (states := records.states())["succeeded"] + states["failed"] < runs:
            passed_s = time.monotonic() - begin
            if passed_s > within_s:
                break
            if passed_s - said_at > 30:
                said_at = passed_s
                say(f"{passed_s:.0f} s: {dict(states)}, {sum(storm.strokes.values())} strokes")
            storm.blow()
            time.sleep(0.2)
        storm.end()
        say(f"{time.monotonic() - begin:.0f} s; strokes: {dict(storm.strokes)}")
        deadline = time.monotonic() + SETTLES_S
        while True:
            faults = [*records.faults(runs), *faults_in_mlflow(stack.mlflow_url, runs)]
            if not faults or time.monotonic() > deadline:
                return faults
            time.sleep(2)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
