"""Rows into answers."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Evaluation, Progress, Result
from polar.spec import ExperimentSpec, StudySpec
from service.api import links
from service.api.health.routes import AGENT_LASTS
from service.api.schemas import (
    Diagnostics,
    EvaluationSummary,
    ExperimentPage,
    ExperimentSummary,
    ExperimentView,
    Front,
    LatentRow,
    Plan,
    PlannedRun,
    RunOfExperiment,
    RunView,
    StudyPage,
    StudyPlan,
    StudySummary,
    StudyView,
    TransitionView,
    TrialPage,
    TrialView,
)
from service.api.stored import Reader
from service.api.studies import ranking
from service.settings import Settings
from service.storage import (
    agents,
    durations,
    experiments,
    forms,
    runs,
    studies,
    study_tracking,
    tracking,
    tracking_failures,
    watching,
)
from service.storage.errors import EarlierVersion
from service.storage.tables import Experiment, Run, Study, Tracking, Trial


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
    result = reader.read("converged", Result, run.result)
    return RunOfExperiment(
        id=run.id,
        seed=run.seed,
        state=run.state,
        reason=run.status_reason,
        message=run.status_message,
        # Both times are those of a transaction's begin: a run that was made for this experiment
        # has the very same.
        reused=run.created_at != experiment.created_at,
        progress=progress,
        verdict=latest and latest.verdict,
        converged=result and result.converged,
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
    reader = Reader()
    progress = reader.read("progress", Progress, run.progress)
    latest = reader.read("verdict", Evaluation, evaluations.get(run.id))
    result = reader.read("result", Result, run.result)
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
        progress=progress,
        verdict=latest and latest.verdict,
        result=result,
        checkpoint_step=run.checkpoint_step,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        mlflow_experiment_id=tracked.mlflow_experiment_id if tracked else None,
        mlflow_run_id=tracked.mlflow_run_id if tracked else None,
        mlflow_error=await tracking_failures.why(session, run.id),
        of_earlier_version=reader.of_earlier_version,
        links=links.of_run(settings, run.id, tracked),
        history=[
            TransitionView.model_validate(transition)
            for transition in await runs.transitions_of(session, run.id)
        ],
    )


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


async def study_view(session: AsyncSession, settings: Settings, study: Study) -> StudyView:
    trials = await studies.trials_of(session, study.id)
    reader = Reader()
    best = _best(study, trials, reader)
    tracked = await study_tracking.mlflow_run_of_study(session, study.id)
    return StudyView(
        id=study.id,
        name=study.name,
        state=study.state,
        reason=study.status_reason,
        message=study.status_message,
        created_at=study.created_at,
        finished_at=study.finished_at,
        spec=study.spec,
        dataset_digest=study.dataset_digest,
        trials_wanted=study.trials_wanted,
        seeds_wanted=study.seeds_wanted,
        trials=Counter(trial.state for trial in trials),
        best=trial_view(best) if best else None,
        range=reader.range(study.range),
        mlflow_error=await tracking_failures.why(session, study.id),
        of_earlier_version=reader.of_earlier_version,
        links=links.of_study(settings, study.id, tracked),
        watch=f"polar study watch {study.id}",
    )


def _best(study: Study, trials: Sequence[Trial], reader: Reader) -> Trial | None:
    """The best trial; none where this version cannot read what makes it best."""
    try:
        return ranking.best(forms.study_spec(study.spec), trials)
    except EarlierVersion:
        reader.of_earlier_version.append("spec")
        return None


async def study_page(
    session: AsyncSession, page: Sequence[Study], next_token: str | None
) -> StudyPage:
    counts = await studies.states_of_trials(session, [study.id for study in page])
    summaries = [
        StudySummary(
            id=study.id,
            name=study.name,
            state=study.state,
            reason=study.status_reason,
            created_at=study.created_at,
            trials_wanted=study.trials_wanted,
            trials=counts[study.id],
            links={"self": links.to_study(study.id)},
        )
        for study in page
    ]
    return StudyPage(studies=summaries, next_page_token=next_token)


def trial_view(trial: Trial) -> TrialView:
    return TrialView(
        number=trial.number,
        point=trial.point,
        state=trial.state,
        reason=trial.status_reason,
        message=trial.status_message,
        values=trial.values,
        measured=trial.measured,
        experiment_id=trial.experiment_id,
        created_at=trial.created_at,
        finished_at=trial.finished_at,
        links={"experiment": links.to_experiment(trial.experiment_id)},
    )


def trial_page(found: Sequence[Trial], page_size: int) -> TrialPage:
    """Of trials of which one more was looked for."""
    page = found[:page_size]
    token = str(page[-1].number) if len(found) > page_size else None
    return TrialPage(trials=[trial_view(trial) for trial in page], next_page_token=token)


async def front(session: AsyncSession, study: Study) -> Front:
    spec = forms.study_spec(study.spec)
    trials = ranking.front(spec, await studies.trials_of(session, study.id))
    return Front(
        study_id=study.id,
        objectives={objective.measure: objective.direction for objective in spec.objectives},
        trials=[trial_view(trial) for trial in trials],
    )


def why_no_range(study: Study) -> str:
    return f"study {study.id} has no range yet: it comes with its first completed trials"


async def study_plan(session: AsyncSession, spec: StudySpec, dataset_digest: str) -> StudyPlan:
    usual = await durations.usual_duration(session, spec)
    at_once = await _runs_at_once(session, spec)
    steps = _most_steps(spec)
    return StudyPlan(
        spec=spec.model_dump(mode="json"),
        dataset_digest=dataset_digest,
        trials=spec.trials,
        runs=spec.runs,
        estimated_s=None if usual is None else usual.of(steps) * math.ceil(spec.runs / at_once),
        estimate="no run of this dataset, model and batch size has succeeded here yet"
        if usual is None
        else f"{usual.step_s:.2g} s a step and {usual.besides_s:.2g} s besides the steps of each "
        f"run, as in the latest runs like these; {steps:,} steps a run; {at_once} runs at once; "
        "runs that exist already take no time",
    )


async def _runs_at_once(session: AsyncSession, spec: StudySpec) -> int:
    there = await agents.seen_lately(session, AGENT_LASTS)
    able = sum(spec.base.device in agent.queues.split(",") for agent in there)
    return max(1, min(able, spec.concurrency * len(spec.base.seeds)))


def _most_steps(spec: StudySpec) -> int:
    """Of one run; where the steps are searched, of the longest."""
    searched = spec.search.get("training.steps")
    ends = searched.ends if searched else (spec.base.training.steps,)
    return max(int(steps) for steps in ends)
