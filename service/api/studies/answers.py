"""Turns rows of studies into answers."""

import math
from collections import Counter
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.phases import StudyFigure
from polar.records.ranges import StudyRange
from polar.spec import StudySpec
from service.api import links
from service.api.problems import Refused
from service.api.stored import Reader
from service.api.studies import ranking
from service.api.studies.schemas import (
    Front,
    StudyPage,
    StudyPlan,
    StudySummary,
    StudyView,
    TrialPage,
    TrialView,
)
from service.settings import Settings
from service.storage import (
    agents,
    durations,
    forms,
    phases,
    points,
    showing,
    studies,
)
from service.storage.durations import Duration
from service.storage.errors import EarlierVersion
from service.storage.forms import Unreadable
from service.storage.study_tables import Study, Trial


async def study_view(
    session: AsyncSession,
    settings: Settings,
    study: Study,
    known: Sequence[Trial] | None = None,
) -> StudyView:
    """What is answered of a study; whoever has read all its trials already gives them."""
    trials = await studies.trials_of(session, study.id) if known is None else known
    reader = Reader()
    spec = _spec(study, reader)
    best = ranking.best(spec, trials) if spec else None
    tracked, mlflow_error = await showing.in_mlflow(session, study.id)
    found = reader.readable("range", study.range)
    return StudyView(
        id=study.id,
        name=study.name,
        tags=study.tags,
        note=study.note,
        state=study.state,
        reason=study.status_reason,
        message=study.status_message,
        created_at=study.created_at,
        finished_at=study.finished_at,
        spec=study.spec,
        dataset_digest=study.dataset_digest,
        trials_wanted=study.trials_wanted,
        steps_wanted=study.steps_wanted,
        steps_spent=None if study.steps_wanted is None else points.count_steps(trials),
        training_steps_wanted=study.training_steps_wanted,
        seeds_wanted=study.seeds_wanted,
        completed=points.count_completed(trials),
        trials=Counter(trial.state for trial in trials),
        best=trial_view(best) if best else None,
        range=found,
        mlflow_error=mlflow_error,
        of_earlier_version=reader.of_earlier_version,
        links=links.of_study(
            settings,
            study.id,
            tracked,
            _figures(spec, found, trials),
            is_optimised=spec is None or spec.sampler != "range",
        ),
        watch=f"polar study watch {study.id}",
    )


def _figures(
    spec: StudySpec | None, found: StudyRange | None, trials: Sequence[Trial]
) -> dict[StudyFigure, bool]:
    """The figures of a study, and whether there is something to draw in each."""
    of_trainings = (
        dict.fromkeys(phases.FIGURES, False)
        if spec is None
        else phases.are_there(spec, found, phases.completed_of(trials))
    )
    compared = found.certificates if found else None
    return {
        **of_trainings,
        StudyFigure.LOSS_ENVELOPE: compared is not None and compared.models > 0,
    }


def _spec(study: Study, reader: Reader) -> StudySpec | None:
    """The spec of a study; None if this version cannot read it."""
    try:
        return studies.spec_of(study)
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
            tags=study.tags,
            state=study.state,
            reason=study.status_reason,
            message=study.status_message,
            created_at=study.created_at,
            trials_wanted=study.trials_wanted,
            steps_wanted=study.steps_wanted,
            trials=counts[study.id],
            links={"self": links.to_study(study.id)},
        )
        for study in page
    ]
    return StudyPage(studies=summaries, next_page_token=next_token)


def trial_view(trial: Trial) -> TrialView:
    reader = Reader()
    # Earlier versions stored an empty object with a trial that has no values.
    measured = None if trial.values is None else reader.readable("measured", trial.measured)
    return TrialView(
        number=trial.number,
        point=reader.point(trial.point),
        state=trial.state,
        reason=trial.status_reason,
        message=trial.status_message,
        values=trial.values,
        measured=measured,
        experiment_id=trial.experiment_id,
        created_at=trial.created_at,
        finished_at=trial.finished_at,
        of_earlier_version=reader.of_earlier_version,
        links={"experiment": links.to_experiment(trial.experiment_id)},
    )


def trial_page(trials: Sequence[Trial], page_size: int) -> TrialPage:
    """Page of trials, followed by another page if there are more trials than this page takes."""
    page = trials[:page_size]
    token = str(page[-1].number) if len(trials) > page_size else None
    return TrialPage(trials=[trial_view(trial) for trial in page], next_page_token=token)


async def front(session: AsyncSession, study: Study) -> Front:
    spec = forms.study_spec(study.spec)
    trials = ranking.front(spec, await studies.trials_of(session, study.id))
    return Front(
        study_id=study.id,
        objectives={objective.measure: objective.direction for objective in spec.objectives},
        trials=[trial_view(trial) for trial in trials],
    )


def study_range(study: Study) -> StudyRange:
    """The range that a study has found.

    Raises:
        Refused: the study has no range yet.
        EarlierVersion: an earlier version stored the range, and this one cannot read it.
    """
    match study.range:
        case None:
            detail = f"study {study.id} has no range yet: it comes with its first completed trials"
            raise Refused(404, "not-found", detail)
        case Unreadable(fault=fault):
            raise EarlierVersion(
                f"the range of study {study.id} is of an earlier version, and this one cannot "
                f"read it: {fault}; `polar study extend {study.id} 1` finds it anew"
            )
        case readable:
            return readable


async def study_plan(session: AsyncSession, spec: StudySpec, dataset_digest: str) -> StudyPlan:
    usual = await durations.usual_duration(session, spec.experiment({}))
    most_at_once = spec.concurrency * spec.runs_of_a_trial
    at_once = await runs_at_once(session, spec.base.device, most_at_once)
    seconds = None if usual is None else _span_of_time(spec, usual, at_once)
    steps = " to ".join(f"{end:,}" for end in dict.fromkeys((spec.steps, spec.most_steps)))
    return StudyPlan(
        spec=spec.model_dump(mode="json"),
        dataset_digest=dataset_digest,
        trials=spec.trials,
        runs=spec.runs,
        ends=_when_it_ends(spec),
        estimated_s=seconds[1] if seconds else None,
        estimated_least_s=seconds[0] if seconds else None,
        estimate="no run of this dataset, model and batch size has succeeded here yet"
        if usual is None
        else f"{usual.step_s:.2g} s a step and {usual.besides_s:.2g} s besides the steps of each "
        f"run, as in the latest runs like these; {steps} steps a run; {runs_in_words(at_once)}; "
        "runs that exist already take no time",
    )


def _when_it_ends(spec: StudySpec) -> str:
    """When a study ends, whatever of its budget comes first."""
    trials, steps, hours = spec.trials, spec.budget.steps, spec.budget.hours
    limits = [f"{trials:,} completed trials" if trials > 1 else "1 completed trial"]
    limits += [] if steps is None else [f"{steps:,} training steps"]
    limits += [] if hours is None else [f"{hours:g} hours"]
    first = ", whichever comes first" if len(limits) > 1 else ""
    return f"after {' or '.join(limits)}{first}"


async def runs_at_once(session: AsyncSession, device: str, most: int) -> int:
    """How many runs the agents of a device train at once, of at most so many; at least 1."""
    present = await agents.seen_lately(session, agents.AGENT_LASTS)
    return max(1, min(agents.able(present, device), most))


def runs_in_words(at_once: int) -> str:
    return f"{at_once:,} run{'s' * (at_once != 1)} at once"


def _span_of_time(spec: StudySpec, usual: Duration, at_once: int) -> tuple[float, float]:
    """Seconds that all runs take with the fewest and with the most steps, in ascending order."""
    longest = spec.runs
    if spec.budget.steps is not None:
        trials = math.ceil(spec.budget.steps / (spec.most_steps * spec.runs_of_a_trial))
        longest = min(longest, trials * spec.runs_of_a_trial)
    least = usual.of(spec.steps) * math.ceil(spec.runs / at_once)
    most = usual.of(spec.most_steps) * math.ceil(longest / at_once)
    return min(least, most), max(least, most)
