"""Answers of the service as tables for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from rich.console import Group, RenderableType

from polar.records.events import Progress, Result
from polar.records.latents import Verdict
from polar.records.words import SETTLED
from service.api.experiments.schemas import (
    ExperimentSummary,
    ExperimentView,
    Plan,
    RunOfExperiment,
)
from service.api.runs.schemas import RunSummary, RunView
from service.api.runs.words import headline
from service.cli import verdicts
from service.cli.describe import in_words
from service.cli.rows import Facts, Rows
from service.ids import SHOWN
from service.storage.states import FindingsState, RunState, TrialState

_VERDICT = ("regime", "polarisation", "active", "passive", "explained")

Answer = ExperimentView | RunView | Plan | Sequence[ExperimentSummary]


def of(answer: Answer, *, full_ids: bool = False) -> RenderableType:
    """The table of an answer, with whole ids or only their first digits."""
    match answer:
        case ExperimentView():
            return _of_experiment(answer, full_ids)
        case RunView():
            return _of_run(answer)
        case Plan():
            return _of_plan(answer)
        case _:
            return _of_experiments(answer, full_ids)


def of_runs(runs: Sequence[RunSummary], *, full_ids: bool = False) -> RenderableType:
    """Table of runs, one on each row."""
    table = Rows(
        "run", "name", "dataset", "model", "weight", "seed", "steps", "state", "regime", "tags",
        "submitted",
        texts=("name", "tags"),
    )  # fmt: skip
    for run in runs:
        table.add(
            shown_id(run.id, full_ids),
            run.name,
            run.dataset,
            run.model,
            run.weight,
            str(run.seed),
            None if run.steps is None else f"{run.steps:,}",
            run.state,
            run.regime,
            in_words(run.tags),
            run.created_at,
        )
    return table


def shown_id(id: UUID, full: bool = False) -> str:
    """The id, or as many of its digits as nearly always are enough to name it."""
    return str(id) if full else id.hex[:SHOWN]


def _of_experiments(experiments: Sequence[ExperimentSummary], full_ids: bool) -> RenderableType:
    table = Rows(
        "experiment", "name", "state", "runs", "tags", "submitted", texts=("name", "tags")
    )
    for experiment in experiments:
        table.add(
            shown_id(experiment.id, full_ids),
            experiment.name,
            experiment.state,
            _counts_beside(experiment.state, experiment.runs),
            in_words(experiment.tags),
            experiment.created_at,
        )
    return table


def _of_experiment(experiment: ExperimentView, full_ids: bool) -> RenderableType:
    named = f" {experiment.name!r}" if experiment.name else ""
    title = f"experiment {experiment.id}{named}: {experiment.state}"
    runs = counts(Counter(run.state for run in experiment.runs))
    table = Rows("seed", "run", "state", "regime", "P", *_VERDICT[2:], "settled", "step", "note")
    for run in experiment.runs:
        table.add(
            str(run.seed),
            shown_id(run.id, full_ids),
            run.state,
            *_verdict_cells(run.verdict),
            SETTLED[run.settled],
            _step(run.progress),
            _note(run),
        )
    facts = {
        "tags": in_words(experiment.tags),
        "note": experiment.note,
        "runs": runs if len(experiment.runs) > 1 else None,
    }
    return Group(title, Facts(facts), table)


def _note(run: RunOfExperiment) -> str:
    unread = earlier_version(run.of_earlier_version)
    message = headline(run.message or "")  # all of it is in `polar get RUN`
    return "; ".join(filter(None, (message or ("shared" if run.reused else ""), unread)))


def _of_run(run: RunView) -> RenderableType:
    verdict = dict(zip(_VERDICT, _verdict_cells(run.verdict), strict=True))
    return Facts(
        {
            "run": str(run.id),
            "name": run.name,
            "tags": in_words(run.tags),
            "note": run.note,
            "seed": str(run.seed),
            "state": " ".join(filter(None, (run.state, run.reason))),
            "message": run.message,
            "attempt": str(run.attempt),
            "queue position": None if run.queue_position is None else str(run.queue_position),
            "step": _step(run.progress),
            **(verdict if run.verdict else {}),
            "settled": SETTLED[run.result.settled] if run.result else None,
            "held out": _held_out(run.result),
            "explanation": run.result.explanation if run.result else None,
            "figures": _findings(run),
            "MLflow": run.links["mlflow"],
            "MLflow's id": run.mlflow_run_id,
            "not in MLflow": run.mlflow_error,
            "unreadable": earlier_version(run.of_earlier_version),
        }
    )


def earlier_version(parts: Sequence[str]) -> str | None:
    """Note on the fields of an answer that this version cannot read."""
    return f"of an earlier version: {', '.join(parts)}" if parts else None


def _of_plan(plan: Plan) -> RenderableType:
    table = Rows("seed", "run", "state")
    for run in plan.runs:
        table.add(str(run.seed), str(run.run_id or "new"), run.state or "")
    return Group(f"the spec is valid; its hash is {plan.spec_hash}", table)


def _verdict_cells(verdict: Verdict | None) -> tuple[str, ...]:
    if verdict is None:
        return ("",) * len(_VERDICT)
    return (
        verdicts.regime(verdict),
        f"{verdict.polarisation:.2f}",
        verdicts.active(verdict),
        str(verdict.n_passive),
        verdicts.explained(verdict),
    )


def _held_out(result: Result | None) -> str | None:
    """What the model explains of images that it was not trained on."""
    if result is None or result.held_out is None:
        return None
    part = result.held_out
    return f"explained {part.explained:.3f} ± {part.explained_se:.3f} of {part.images:,} images"


def _findings(run: RunView) -> str | None:
    """How far the figures and the rest of the findings are, and how to ask for them."""
    findings = run.findings
    if findings is None:
        return None
    state = findings.state.replace("_", " ")
    parts = [f"{state}: {findings.message}" if findings.message else state]
    if findings.state is not FindingsState.MADE and findings.asked_at is None:
        parts.append(f"`polar get {run.id} --findings` asks for them")
    if findings.state is FindingsState.TO_COME and findings.asked_at is not None:
        parts.append(f"somebody has asked for them; `polar get {run.id}` says when they are made")
    return "; ".join(parts)


def _step(progress: Progress | None) -> str:
    return "" if progress is None else f"{progress.step:,} of {progress.steps:,}"


def _counts_beside(state: RunState, runs: Mapping[RunState, int]) -> str:
    """Counts for a table that shows the state, so a number is enough if all runs are in it."""
    return str(runs[state]) if list(runs) == [state] else counts(runs)


def counts(states: Mapping[RunState, int] | Mapping[TrialState, int]) -> str:
    """The counts in words, such as `3 succeeded, 1 failed`."""
    return ", ".join(f"{count:,} {state}" for state, count in states.items())
