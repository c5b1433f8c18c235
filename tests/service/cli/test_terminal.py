"""Every table in a real terminal of 60, 80 and 200 columns: nothing cut, no line too wide."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pytest
from rich.cells import cell_len

from polar.measurement.measure import measure
from polar.records.latents import Regime
from polar.records.trials import Measures
from polar.spec.study import MOST_TRIALS
from service.api.experiments.schemas import (
    ExperimentSummary,
    ExperimentView,
    Plan,
    PlannedRun,
    RunOfExperiment,
)
from service.api.runs.schemas import RunView
from service.api.studies.schemas import StudyPlan, StudySummary, StudyView, TrialView
from service.cli import data, demo_study, output, study_tables, tables
from service.cli.measure import _table as table_of_measurement
from service.storage.states import RunState, StudyState, TrialState
from tests.service.cli.terminals import FIELDS, LINK, NAMES, Terminal, assert_whole, show, terminal

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker


def runs(reports: "Reports", count: int) -> list[RunOfExperiment]:
    measured = reports.evaluation(100).verdict
    verdicts = [measured.model_copy(update={"regime": regime}) for regime in Regime]
    return [
        RunOfExperiment(
            id=uuid4(),
            seed=2**32 - 1 - number,
            state=RunState.SUCCEEDED if number else RunState.FAILED,
            reason=None,
            message=None if number else "the disk /a/folder/of/mine is full " * 5,
            reused=bool(number % 2),
            progress=reports.progress(100),
            verdict=verdicts[number % 4],
            converged=bool(number % 3),
            of_earlier_version=[],
            links={"mlflow": LINK},
        )
        for number in range(count)
    ]


def experiment(name: str, its_runs: Sequence[RunOfExperiment]) -> ExperimentView:
    return ExperimentView(
        id=uuid4(),
        name=name,
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
    assert all(str(run.id) in text and str(run.seed) in text for run in shown.runs)
    assert_whole(lines, columns, [shown.id, "running", "failed", "/a/folder/of/mine"])
    if count > 1:
        assert_whole(lines, columns, [*Regime, "succeeded", "1 failed, 999 succeeded"])
        assert all(text.count(regime) >= count / 4 for regime in Regime)


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_experiments(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        ExperimentSummary(
            id=uuid4(),
            name=name,
            spec_hash="",
            state=state,
            created_at=datetime.now(UTC) - timedelta(minutes=7**number),
            runs={state: 1000} if number % 2 else dict.fromkeys(RunState, 100),
            links={},
        )
        for number, state in enumerate(RunState)
    ]

    lines = show(tables.of(found), columns, monkeypatch)

    assert_whole(lines, columns, [*(each.id for each in found), *RunState, "7min ago"])


def test_the_list_of_experiments_is_a_line_for_each_at_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = ExperimentSummary(
        id=uuid4(),
        name="digits, beta 4",
        spec_hash="",
        state=RunState.SUCCEEDED,
        created_at=datetime.now(UTC) - timedelta(minutes=23, seconds=1),
        runs={RunState.SUCCEEDED: 1000},
        links={},
    )

    _, line, _ = show(tables.of([found]), 80, monkeypatch)

    assert line.split("  ")[:2] == [str(found.id), "digits, beta 4"]
    assert line.split("  ")[2:] == ["succeeded", "1000", "23min ago"]


def test_a_run(
    columns: int, reports: "Reports", spec_of: "SpecMaker", monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunView(
        id=uuid4(),
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

    assert_whole(lines, columns, [run.id, "succeeded dataset_corrupt", "polarised", "100 of 100"])
    assert f";{LINK}\x1b\\" in screen.sent.decode()  # as a link, however its text is wrapped


def test_a_plan(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    there = PlannedRun(seed=1, run_id=uuid4(), state=RunState.SUCCEEDED)
    new = PlannedRun(seed=2**32 - 1, run_id=None, state=None)
    plan = Plan(spec={}, spec_hash="0" * 64, dataset_digest="", runs=[there, new])

    lines = show(tables.of(plan), columns, monkeypatch)

    assert_whole(lines, columns, [there.run_id, "succeeded", "new", 2**32 - 1])


MEASURES = ["clean_polarisation", "reconstruction_nats", "explained", "n_mixed"]
EDGE = {"low": 1.234e-05, "high": 2.345e-05, "confidence": 0.95}
FOUND: dict[str, Any] = {
    "outcome": "coarse",
    "intervals": [{"left": EDGE, "right": EDGE}] * 3,
    "envelope": {"left": EDGE, "right": {**EDGE, "high": None}},
    "converged": False,
    "disagreeing": [1.234e-05, 56.78],
    "fields": ["model.beta"],
    "steps": 100_000,
    "seeds": [0, 1],
    "weights": 9,
    "trainings": 18,
    "remarks": ["Seeds disagree on the verdict at 1.234e-05, and at others, too. " * 2],
}


def measured_by(*regimes: str) -> dict[str, Any]:
    means = dict.fromkeys(Measures.model_fields, 0.5)
    return {
        **means,
        "of_seeds": [means for _ in regimes],
        "regimes": regimes,
        "converged": [True for _ in regimes],
        "observations": [],
    }


def trial(number: int, fields: Sequence[str], measures: Sequence[str], **other: Any) -> TrialView:  # noqa: ANN401
    return TrialView.model_validate(
        {
            "number": number,
            "point": dict.fromkeys(fields, 1.234e-05 * (number + 1)),
            "state": TrialState.COMPLETED,
            "reason": None,
            "message": None,
            "values": [0.1234 + at + number for at in range(len(measures))],
            "measured": measured_by("under_regularised", "polarised"),
            "experiment_id": uuid4(),
            "created_at": datetime.now(UTC),
            "finished_at": None,
            "of_earlier_version": [],
            "links": {},
            **other,
        }
    )


def study(name: str, measures: Sequence[str], best: TrialView | None) -> StudyView:
    return StudyView(
        id=uuid4(),
        name=name,
        state=StudyState.COMPLETED,
        reason="budget_spent",
        message="it has what it wanted",
        created_at=datetime.now(UTC),
        finished_at=None,
        spec={"objectives": [{"measure": measure} for measure in measures]},
        dataset_digest="",
        trials_wanted=MOST_TRIALS,
        completed=2000,
        seeds_wanted=[0],
        trials=dict.fromkeys(TrialState, 1000),
        best=best,
        range=FOUND,
        mlflow_error=None,
        of_earlier_version=["spec"],
        links={},
        watch="",
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fields", [1, 8])
def test_a_study(fields: int, name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = MEASURES[: max(1, fields // 2)]
    trials = [trial(number, FIELDS[:fields], measures) for number in range(14)]
    trials.append(
        trial(14, FIELDS[:fields], measures, state="failed", values=None, message="no, " * 50)
    )
    shown = study(name, measures, trials[0])

    lines = show(study_tables.of_study(shown, trials), columns, monkeypatch)

    points = [f"{field}={value:.4g}" for one in trials for field, value in one.point.items()]
    values = [f"{value:.4g}" for one in trials for value in one.values or ()]
    assert_whole(lines, columns, [shown.id, "completed", "failed", *points, *values])
    assert_whole(lines, columns, ["under_regularised", "1.234e-05..2.345e-05", "above 1.234e-05"])


def test_a_study_of_one_field_is_a_line_for_each_trial_at_80_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials = [
        trial(number, FIELDS[:1], MEASURES[:1], measured=measured_by("under_regularised"))
        for number in range(14)
    ]

    lines = show(study_tables.of_study(study("", MEASURES[:1], None), trials), 80, monkeypatch)

    last = trials[-1]
    beta = f"model.beta={last.point['model.beta']:.4g}"
    assert lines[-2].split() == ["13", "completed", beta, "13.12", "under_regularised"]
    assert lines[-3].split()[0] == "12"


@pytest.mark.parametrize("name", NAMES)
def test_lists_and_ranges_of_studies(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [study(name, MEASURES, None) for _ in range(3)]
    found = [StudySummary.model_validate(one.model_dump()) for one in full]

    listed = show(study_tables.of_studies(found), columns, monkeypatch)
    ranges = show(study_tables.of_ranges(full), columns, monkeypatch)

    ids = [one.id for one in full]
    assert_whole(listed, columns, [*ids, "completed", "1,000 superseded", MOST_TRIALS])
    assert_whole(ranges, columns, [*ids, "completed", "2000", "1.234e-05..2.345e-05", "56.78)"])


def test_the_plan_of_a_study(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = StudyPlan(
        spec={},
        dataset_digest="",
        trials=10_000,
        runs=1_000_000,
        estimated_s=1e7,
        estimate="0.12 s a step, as in the latest runs like these; 2,000 steps a run",
    )

    lines = show(study_tables.of_plan(plan), columns, monkeypatch)

    assert_whole(lines, columns, ["10000", "1000000", "115 days, 17:46:40"])


def test_the_demo(columns: int, reports: "Reports", monkeypatch: pytest.MonkeyPatch) -> None:
    # The README's first command once lost beta, P and verdict to the links.
    trained = [
        (trial(number, ["model.beta"], MEASURES[:1]), run)
        for number, run in enumerate(runs(reports, 4))
    ]

    with terminal(columns, monkeypatch) as screen:
        output.console_on(sys.stdout).print(demo_study._of_results(trained, 1024, has_links=False))
    lines = screen.lines()
    progress = show(demo_study._of_progress(trained), columns, monkeypatch)

    betas = [f"{one.point['model.beta']:.4g}" for one, _ in trained]
    assert_whole(lines, columns, [*betas, *Regime, "1 of 1024", "0.99", "0.90", "yes", "no"])
    assert_whole(progress, columns, [*betas, "succeeded", "failed", "100 / 100", "0.99"])
    assert screen.sent.decode().count(LINK) == 4
    if columns >= 80:
        assert len([line for line in lines if line.strip()]) == 5


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
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.cli", *map(str, arguments),
        env={**os.environ, "TERM": "xterm-256color", **environment},
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

    assert_whole(listed, columns, [ids[0], "succeeded"])
    assert_whole(datasets, columns, ["digits", "smallnorb", "here", "missing"])
    for lines in (shown, watched, with_setting):
        assert_whole(lines, columns, [*ids, "succeeded", "polarised", "0.99"])
