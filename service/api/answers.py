"""Rows into answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from polar.events import Evaluation
from polar.spec import ExperimentSpec
from service.api import links
from service.api.views import (
    Diagnostics,
    EvaluationSummary,
    ExperimentPage,
    ExperimentSummary,
    ExperimentView,
    LatentRow,
    Plan,
    PlannedRun,
    RunOfExperiment,
    RunView,
    TransitionView,
)
from service.settings import Settings
from service.storage import experiments, runs, tracking, watching
from service.storage.tables import Experiment, Run


async def experiment_view(
    session: AsyncSession, settings: Settings, experiment: Experiment
) -> ExperimentView:
    its_runs = await experiments.runs_of(session, experiment.id)
    ids = [run.id for run in its_runs]
    tracked = await tracking.positions_of(session, ids)
    evaluations = await watching.latest_evaluations(session, ids)
    return ExperimentView(
        id=experiment.id,
        name=experiment.name,
        spec_hash=experiment.spec_hash,
        state=experiments.state_of(experiment, Counter(run.state for run in its_runs)),
        created_at=experiment.created_at,
        cancelled_at=experiment.cancelled_at,
        spec=experiment.spec,
        runs=[
            RunOfExperiment(
                id=run.id,
                seed=run.seed,
                state=run.state,
                reason=run.status_reason,
                message=run.status_message,
                # Both times are those of a transaction's begin: a run that was made for this
                # experiment has the very same.
                reused=run.created_at != experiment.created_at,
                progress=run.progress,
                verdict=evaluations.get(run.id, {}).get("verdict"),
                converged=run.result["converged"] if run.result else None,
                links=links.of_run(settings, run.id, tracked.get(run.id)),
            )
            for run in its_runs
        ],
        links=links.of_experiment(settings, experiment.id, next(iter(tracked.values()), None)),
        watch=f"polar watch {experiment.id}",
    )


async def experiment_page(
    session: AsyncSession, page: Sequence[Experiment], next_token: str | None
) -> ExperimentPage:
    counts = await experiments.states_of_runs(session, [experiment.id for experiment in page])
    summaries = [
        ExperimentSummary(
            id=experiment.id,
            name=experiment.name,
            spec_hash=experiment.spec_hash,
            state=experiments.state_of(experiment, counts[experiment.id]),
            created_at=experiment.created_at,
            runs=counts[experiment.id],
            links={"self": links.to_experiment(experiment.id)},
        )
        for experiment in page
    ]
    return ExperimentPage(experiments=summaries, next_page_token=next_token)


async def plan(session: AsyncSession, spec: ExperimentSpec, dataset_digest: str) -> Plan:
    there = await experiments.reusable_runs(session, spec, dataset_digest)
    return Plan(
        spec=spec.model_dump(mode="json"),
        spec_hash=spec.content_hash(),
        dataset_digest=dataset_digest,
        runs=[
            PlannedRun(seed=seed, run_id=there[seed].id, state=there[seed].state)
            if seed in there
            else PlannedRun(seed=seed, run_id=None, state=None)
            for seed in spec.seeds
        ],
    )


async def run_view(session: AsyncSession, settings: Settings, run: Run) -> RunView:
    standing = (await watching.standings(session, [run.id]))[run.id]
    evaluations = await watching.latest_evaluations(session, [run.id])
    tracked = await tracking.position_of(session, run.id)
    return RunView(
        id=run.id,
        seed=run.seed,
        spec=run.spec,
        dataset_digest=run.dataset_digest,
        queue=run.queue,
        state=run.state,
        reason=run.status_reason,
        message=run.status_message,
        attempt=run.attempt,
        cancel_requested=run.cancel_requested,
        queue_position=standing.queue_position,
        progress=run.progress,
        verdict=evaluations.get(run.id, {}).get("verdict"),
        result=run.result,
        checkpoint_step=run.checkpoint_step,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        mlflow_experiment_id=tracked.mlflow_experiment_id if tracked else None,
        mlflow_run_id=tracked.mlflow_run_id if tracked else None,
        links=links.of_run(settings, run.id, tracked),
        history=[
            TransitionView.model_validate(transition)
            for transition in await runs.transitions_of(session, run.id)
        ],
    )


def diagnostics(run: Run, evaluations: Sequence[Mapping[str, Any]]) -> Diagnostics:
    measured = [Evaluation.model_validate(evaluation) for evaluation in evaluations]
    return Diagnostics(
        run_id=run.id,
        evaluations=[EvaluationSummary.model_validate(each) for each in measured],
        latents=[
            LatentRow(step=each.step, epoch=each.epoch, **latent.model_dump())
            for each in measured
            for latent in each.latents
        ],
    )
