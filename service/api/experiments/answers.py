"""Turns rows of experiments into answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Evaluation, Progress, Result
from polar.spec import ExperimentSpec
from service.api import links
from service.api.experiments.schemas import (
    ExperimentPage,
    ExperimentSummary,
    ExperimentView,
    Plan,
    PlannedRun,
    RunOfExperiment,
)
from service.api.stored import Reader
from service.settings import Settings
from service.storage import experiments, tracking
from service.storage.evaluations import latest_evaluations
from service.storage.tables import Experiment, Run, Tracking


async def accepted(
    session: AsyncSession, settings: Settings, response: Response, made: Experiment
) -> ExperimentView:
    """The experiment that a request has made, with the header that says where it is."""
    response.headers["Location"] = links.to_experiment(made.id)
    return await experiment_view(session, settings, made)


async def experiment_view(
    session: AsyncSession, settings: Settings, experiment: Experiment
) -> ExperimentView:
    its_runs = await experiments.runs_of(session, experiment.id)
    ids = [run.id for run in its_runs]
    tracked = await tracking.positions_of(session, ids)
    evaluations = await latest_evaluations(session, ids)
    return ExperimentView(
        id=experiment.id,
        name=experiment.name,
        spec_hash=experiment.spec_hash,
        state=experiments.state_of(experiment, Counter(run.state for run in its_runs)),
        created_at=experiment.created_at,
        cancelled_at=experiment.cancelled_at,
        spec=experiment.spec,
        runs=[
            _run_of_experiment(
                settings, experiment, run, evaluations.get(run.id), tracked.get(run.id)
            )
            for run in its_runs
        ],
        links=links.of_experiment(settings, experiment.id, next(iter(tracked.values()), None)),
        watch=f"polar watch {experiment.id}",
    )


def _run_of_experiment(
    settings: Settings,
    experiment: Experiment,
    run: Run,
    evaluation: Mapping[str, Any] | None,
    tracked: Tracking | None,
) -> RunOfExperiment:
    reader = Reader()
    progress = reader.read("progress", Progress, run.progress)
    latest = reader.read("verdict", Evaluation, evaluation)
    result = reader.read("settled", Result, run.result)
    return RunOfExperiment(
        id=run.id,
        seed=run.seed,
        state=run.state,
        reason=run.status_reason,
        message=run.status_message,
        # Both times are the start of a transaction, so they are equal if the run was created
        # together with this experiment.
        reused=run.created_at != experiment.created_at,
        progress=progress,
        verdict=latest and latest.verdict,
        settled=result and result.settled,
        of_earlier_version=reader.of_earlier_version,
        links=links.of_run(settings, run.id, tracked),
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
    reusable = await experiments.reusable_runs(session, spec, dataset_digest)
    return Plan(
        spec=spec.model_dump(mode="json"),
        spec_hash=spec.content_hash(),
        dataset_digest=dataset_digest,
        runs=[
            PlannedRun(seed=seed, run_id=reusable[seed].id, state=reusable[seed].state)
            if seed in reusable
            else PlannedRun(seed=seed, run_id=None, state=None)
            for seed in spec.seeds
        ],
    )
