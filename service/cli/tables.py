"""Answers of the service as tables for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table

from polar.events import Progress, Verdict
from service.api.views import ExperimentSummary, ExperimentView, Plan, RunView

_VERDICT_COLUMNS = ("regime", "polarisation", "active", "passive", "explained")

Answer = ExperimentView | RunView | Plan | Sequence[ExperimentSummary]


def of(answer: Answer) -> RenderableType:
    """The table of an answer."""
    match answer:
        case ExperimentView():
            return _of_experiment(answer)
        case RunView():
            return _of_run(answer)
        case Plan():
            return _of_plan(answer)
        case _:
            return _of_experiments(answer)


def _of_experiments(experiments: Sequence[ExperimentSummary]) -> RenderableType:
    table = with_columns("experiment", "name", "state", "runs", "submitted")
    for experiment in experiments:
        runs = ", ".join(f"{count} {state}" for state, count in experiment.runs.items())
        submitted = local_time(experiment.created_at)
        table.add_row(str(experiment.id), experiment.name, experiment.state, runs, submitted)
    return table


def _of_experiment(experiment: ExperimentView) -> RenderableType:
    title = f"experiment {experiment.id} {experiment.name!r}: {experiment.state}"
    table = with_columns("seed", "run", "state", "step", *_VERDICT_COLUMNS, "converged", "note")
    for run in experiment.runs:
        note = run.message or ("shared" if run.reused else "")
        table.add_row(
            str(run.seed),
            str(run.id),
            run.state,
            _step(run.progress),
            *_verdict_cells(run.verdict),
            {True: "yes", False: "no", None: ""}[run.converged],
            note,
        )
    return Group(title, table)


def _of_run(run: RunView) -> RenderableType:
    verdict = dict(zip(_VERDICT_COLUMNS, _verdict_cells(run.verdict), strict=True))
    return of_facts(
        {
            "run": str(run.id),
            "seed": str(run.seed),
            "state": " ".join(filter(None, (run.state, run.reason))),
            "message": run.message,
            "attempt": str(run.attempt),
            "queue position": None if run.queue_position is None else str(run.queue_position),
            "step": _step(run.progress),
            **(verdict if run.verdict else {}),
            "converged": {True: "yes", False: "no"}[run.result.converged] if run.result else None,
            "explanation": run.result.explanation if run.result else None,
            "MLflow": run.links["mlflow"],
        }
    )


def of_facts(facts: Mapping[str, str | None]) -> Table:
    """A line for each fact that is known."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, value)
    return table


def _of_plan(plan: Plan) -> RenderableType:
    table = with_columns("seed", "run", "state")
    for run in plan.runs:
        table.add_row(str(run.seed), str(run.run_id or "new"), run.state or "")
    return Group(f"the spec is valid; its hash is {plan.spec_hash}", table)


def _verdict_cells(verdict: Verdict | None) -> tuple[str, ...]:
    if verdict is None:
        return ("",) * len(_VERDICT_COLUMNS)
    return (
        verdict.regime,
        f"{verdict.polarisation:.2f}",
        str(verdict.n_active),
        str(verdict.n_passive),
        f"{verdict.explained:.2f}",
    )


def _step(progress: Progress | None) -> str:
    return "" if progress is None else f"{progress.step:,} of {progress.steps:,}"


def with_columns(*columns: str) -> Table:
    """An empty table; only notes are wrapped."""
    table = Table(box=None, padding=(0, 1))
    for column in columns:
        table.add_column(column, no_wrap=column != "note")
    return table


def local_time(at: datetime) -> str:
    """To the second, with its zone."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")
