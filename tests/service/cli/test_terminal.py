"""Every table in a real terminal of 60, 80 and 200 columns: nothing cut, no line too wide."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest
from rich.cells import cell_len

from polar.measurement.measure import measure
from polar.records.latents import Regime
from service.api.experiments.schemas import (
    ExperimentSummary,
    ExperimentView,
    Plan,
    PlannedRun,
    RunOfExperiment,
)
from service.api.runs.schemas import RunView
from service.cli import data, output, tables
from service.cli.measure import _table as table_of_measurement
from service.storage.states import RunState
from tests.service.cli.terminals import LINK, NAMES, Terminal, assert_whole, runs, show, terminal

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker


def experiment(name: str, its_runs: Sequence[RunOfExperiment]) -> ExperimentView:
    return ExperimentView(
        id=uuid4(),
        name=name,
        tags={"project": "vae"},
        note=name,
        spec_hash="0" * 64,
        state=RunState.RUNNING,
        created_at=datetime.now(UTC),
        cancelled_at=None,
        spec={},
        runs=list(its_runs),
        links={},
        watch="",
    )


@pytest.mark.parametrize(("count", "name"), [(1000, ""), *((1, name) for name in NAMES)])
def test_an_experiment(
    count: int,
    name: str,
    columns: int,
    reports: "Reports",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = experiment(name, runs(reports, count))

    lines = show(tables.of(shown), columns, monkeypatch)

    text = "\n".join(lines)
    assert max(map(cell_len, lines)) <= columns
    assert all(run.id.hex[:8] in text and str(run.seed) in text for run in shown.runs)
    assert_whole(lines, columns, [shown.id, "running", "failed", "/a/folder/of/mine"])
    if count > 1:
        assert_whole(lines, columns, [*Regime, "succeeded", "1 failed, 999 succeeded"])
        assert all(text.count(regime) >= count // len(Regime) for regime in Regime)


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_experiments(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        ExperimentSummary(
            id=uuid4(),
            name=name,
            tags={},
            spec_hash="",
            state=state,
            created_at=datetime.now(UTC) - timedelta(minutes=7**number),
            runs={state: 1000} if number % 2 else dict.fromkeys(RunState, 100),
            links={},
        )
        for number, state in enumerate(RunState)
    ]

    lines = show(tables.of(found), columns, monkeypatch)

    assert_whole(lines, columns, [*(each.id.hex[:8] for each in found), *RunState, "7min ago"])


def test_the_list_of_experiments_is_a_line_for_each_at_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ExperimentSummary(
        id=uuid4(),
        name="digits, beta 4",
        tags={},
        spec_hash="",
        state=RunState.SUCCEEDED,
        created_at=datetime.now(UTC) - timedelta(minutes=23, seconds=1),
        runs={RunState.SUCCEEDED: 1000},
        links={},
    )

    _, line, _ = show(tables.of([found]), 80, monkeypatch)

    cells = [found.id.hex[:8], "digits, beta 4", "succeeded", "1000", "23min ago"]
    assert re.split("  +", line) == cells


def test_a_run(
    columns: int, reports: "Reports", spec_of: "SpecMaker", monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunView(
        id=uuid4(),
        name="best",
        tags={"project": "vae"},
        note="a word " * 30,
        seed=0,
        spec={},
        dataset_digest="",
        queue="auto",
        state=RunState.SUCCEEDED,
        reason="dataset_corrupt",
        message="it went wrong " * 20,
        attempt=1,
        cancel_requested=False,
        queue_position=1,
        progress=reports.progress(100),
        findings=None,
        verdict=reports.evaluation(100).verdict,
        result=reports.result(spec_of()),
        checkpoint_step=None,
        created_at=datetime.now(UTC),
        started_at=None,
        finished_at=None,
        mlflow_experiment_id=None,
        mlflow_run_id=None,
        mlflow_error="MLflowRefused: the run was deleted",
        of_earlier_version=["progress", "result"],
        links={"mlflow": LINK},
        history=[],
    )

    with terminal(columns, monkeypatch) as screen:
        output.console_on(sys.stdout).print(tables.of(run))
    lines = screen.lines()

    assert_whole(lines, columns, [run.id, "succeeded dataset_corrupt", "clean", "100 of 100"])
    assert f";{LINK}\x1b\\" in screen.sent.decode()  # as a link, however its text is wrapped


def test_a_plan(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    there = PlannedRun(seed=1, run_id=uuid4(), state=RunState.SUCCEEDED)
    new = PlannedRun(seed=2**32 - 1, run_id=None, state=None)
    plan = Plan(spec={}, spec_hash="0" * 64, dataset_digest="", runs=[there, new])

    lines = show(tables.of(plan), columns, monkeypatch)

    assert_whole(lines, columns, [there.run_id, "succeeded", "new", 2**32 - 1])


def test_a_measurement(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).normal(size=(50, 3)) * [1.0, 1e-3, 0.3]
    measured = measure(codes, variance=np.ones_like(codes))

    lines = show(table_of_measurement(measured), columns, monkeypatch)

    labels = [latent.label for latent in measured.latents]
    entropies = [f"{latent.judged_entropy_nats:.3f}" for latent in measured.latents]
    assert_whole(lines, columns, [*measured.names, *labels, *entropies])


def test_datasets(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "0123456789abcdef" * 4
    here = data.Here(name="smallnorb", state="here", bytes=10**9, digest=digest, where="/a/folder")
    missing = data.Here(name="mnist", state="missing", where="there is no file here/" * 4)
    path = "/home/somebody/.cache/polar/MNIST/raw/t10k-images-idx3-ubyte"
    checked = data.Checked(path=path, state="different", checksum=f"sha256:{digest}")

    listed = show(data._table([here.model_dump(), missing.model_dump()]), columns, monkeypatch)
    verified = show(data._table([checked.model_dump()]), columns, monkeypatch)

    assert_whole(listed, columns, ["smallnorb", "mnist", "here", "missing", 10**9, "/a/folder"])
    assert_whole(verified, columns, [path, "different"])
    if columns >= 80:
        assert_whole([*listed, *verified], columns, [digest, f"sha256:{digest}"])


async def in_terminal(
    columns: int, environment: Mapping[str, str], *arguments: object
) -> list[str]:
    """The lines of a command, in a process of its own."""
    screen = Terminal(columns)
    # Whoever starts the tests may have set COLUMNS, as pytest-xdist does, and it counts.
    ours = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.cli", *map(str, arguments),
        env={**ours, "TERM": "xterm-256color", **environment},
        stdin=asyncio.subprocess.DEVNULL, stdout=screen.stream, stderr=screen.stream,
    )  # fmt: skip
    await process.wait()
    return await asyncio.to_thread(screen.lines)


async def test_the_commands_themselves(
    columns: int,
    served: str,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> None:
    submission = await submit(spec_of(name="n" * 60, seeds=[0, 1]))
    ids = [submission.experiment.id, *(run.id for run in submission.runs)]
    for id in ids[1:]:
        await worker.claim(id)
        await worker.record(id, reports.progress(100), reports.evaluation(100))
        await worker.finish(id)
    service = {"POLAR_URL": served}

    listed = await in_terminal(columns, service, "list")
    shown = await in_terminal(columns, service, "get", ids[0])
    watched = await in_terminal(columns, service, "watch", ids[0])
    datasets = await in_terminal(columns, {}, "data", "list")
    with_setting = await in_terminal(200, {**service, "COLUMNS": str(columns)}, "get", ids[0])

    assert_whole(listed, columns, [ids[0].hex[:8], "succeeded"])
    assert_whole(datasets, columns, ["digits", "smallnorb", "here", "missing"])
    for lines in (shown, watched, with_setting):
        runs = [id.hex[:8] for id in ids[1:]]
        assert_whole(lines, columns, [ids[0], *runs, "succeeded", "clean", "0.99"])
