"""Turns rows of experiments into answers."""

from collections import Counter
from collections.abc import Sequence

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
from service.storage import experiments, showing
from service.storage.showing import ShownRun
from service.storage.tables import Experiment


async def accepted(
    session: AsyncSession, settings: Settings, response: Response, made: Experiment
) -> ExperimentView:
    """The experiment that a request has made, with the header that says where it is."""
    response.headers["Location"] = links.to_experiment(made.id)
    return await experiment_view(session, settings, made)


async def experiment_view(
    session: AsyncSession, settings: Settings, experiment: Experiment
) -> ExperimentView:
    shown = await showing.runs_of(session, experiment.id)
    tracked = [each.tracked for each in shown if each.tracked]
    return ExperimentView(
        id=experiment.id,
        name=experiment.name,
        tags=experiment.tags,
        note=experiment.note,
        spec_hash=experiment.spec_hash,
        state=experiments.state_of(experiment, Counter(each.state for each in shown)),
        created_at=experiment.created_at,
        cancelled_at=experiment.cancelled_at,
        spec=experiment.spec,
        runs=[_run_of_experiment(settings, experiment, each) for each in shown],
        links=links.of_experiment(settings, experiment.id, tracked),
        watch=f"polar watch {experiment.id}",
    )


def _run_of_experiment(
    settings: Settings, experiment: Experiment, run: ShownRun
) -> RunOfExperiment:
    reader = Reader()
    progress = reader.read("progress", Progress, run.progress)
    latest = reader.read("verdict", Evaluation, run.evaluation)
    result = reader.read("settled", Result, run.result)
    return RunOfExperiment(
        id=run.id,
        name=run.name,
        tags=dict(run.tags),
        seed=run.seed,
        state=run.state,
        reason=run.reason,
        message=run.message,
        # Both times are the start of a transaction, so they are equal if the run was created
        # together with this experiment.
        reused=run.created_at != experiment.created_at,
        progress=progress,
        verdict=latest and latest.verdict,
        settled=result and result.settled,
        of_earlier_version=reader.of_earlier_version,
        links=links.of_run(settings, run.id, run.tracked),
    )


async def experiment_page(
    session: AsyncSession, page: Sequence[Experiment], next_token: str | None
) -> ExperimentPage:
    counts = await experiments.states_of_runs(session, [experiment.id for experiment in page])
    summaries = [
        ExperimentSummary(
            id=experiment.id,
            name=experiment.name,
            tags=experiment.tags,
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
