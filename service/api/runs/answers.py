"""Turns rows of runs into answers."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Evaluation, Progress, Result
from polar.records.latents import LatentDiagnostics
from service.api import links
from service.api.csv_text import csv_of
from service.api.runs.schemas import (
    Diagnostics,
    EvaluationSummary,
    FindingsView,
    LatentRow,
    RunPage,
    RunSummary,
    RunView,
    TransitionView,
)
from service.api.runs.words import weight_in_words
from service.api.stored import Reader
from service.settings import Settings
from service.storage import findings, runs, showing, watching
from service.storage.showing import ListedRun
from service.storage.states import RunState
from service.storage.tables import Run


async def run_view(session: AsyncSession, settings: Settings, run: Run) -> RunView:
    about = await showing.about(session, run.id)
    reader = Reader()
    progress = reader.read("progress", Progress, run.progress)
    latest = reader.read("verdict", Evaluation, about.evaluation)
    result = reader.read("result", Result, run.result)
    return RunView(
        id=run.id,
        name=run.name,
        tags=run.tags,
        note=run.note,
        seed=run.seed,
        spec=run.spec,
        dataset_digest=run.dataset_digest,
        queue=run.queue,
        state=run.state,
        reason=run.status_reason,
        message=run.status_message,
        attempt=run.attempt,
        cancel_requested=run.cancel_requested,
        queue_position=await _queue_position(session, run),
        progress=progress,
        verdict=latest and latest.verdict,
        result=result,
        findings=about.findings and FindingsView.model_validate(about.findings),
        checkpoint_step=run.checkpoint_step,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        mlflow_experiment_id=about.tracked.mlflow_experiment_id if about.tracked else None,
        mlflow_run_id=about.tracked.mlflow_run_id if about.tracked else None,
        mlflow_error=about.mlflow_error,
        of_earlier_version=reader.of_earlier_version,
        links=links.of_run(settings, run.id, about.tracked),
        history=[
            TransitionView.model_validate(transition)
            for transition in await runs.transitions_of(session, run.id)
        ],
    )


def run_page(page: Sequence[ListedRun], next_token: str | None) -> RunPage:
    return RunPage(runs=[_summary(run) for run in page], next_page_token=next_token)


def _summary(run: ListedRun) -> RunSummary:
    content = dict(vars(run))
    content["weight"] = weight_in_words(content.pop("weight_name"), run.weight)
    return RunSummary.model_validate({**content, "links": {"self": links.to_run(run.id)}})


async def _queue_position(session: AsyncSession, run: Run) -> int | None:
    if run.state is not RunState.QUEUED:  # looking at the queue would cost more than all the rest
        return None
    return (await watching.standings(session, [run.id]))[run.id].queue_position


async def findings_view(session: AsyncSession, run_id: UUID) -> FindingsView | None:
    row = await findings.of_run(session, run_id)
    return None if row is None else FindingsView.model_validate(row)


def diagnostics(run: Run, evaluations: Sequence[Mapping[str, Any]]) -> Diagnostics:
    reader = Reader()
    read = [
        reader.read(f"evaluation of step {stored.get('step')}", Evaluation, stored)
        for stored in evaluations
    ]
    measured = [evaluation for evaluation in read if evaluation is not None]
    return Diagnostics(
        run_id=run.id,
        evaluations=[EvaluationSummary.model_validate(each) for each in measured],
        latents=[
            LatentRow(step=each.step, epoch=each.epoch, **latent.model_dump())
            for each in measured
            for latent in each.latents
        ],
        of_earlier_version=reader.of_earlier_version,
    )


def latents_csv(found: Diagnostics) -> bytes:
    """The measures of every latent at every evaluation; the columns are those of the Parquet."""
    names = ("epoch", "step", *LatentDiagnostics.model_fields)
    return csv_of(names, ([getattr(row, name) for name in names] for row in found.latents))
