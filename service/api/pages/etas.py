"""When studies will have done all that they want, as well as it can be said."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Progress
from polar.spec import StudySpec
from service.api.pages.counting import Counted, TrialCounts
from service.api.pages.rendering import duration
from service.api.stored import Reader
from service.storage import agents
from service.storage.durations import Duration, usual_durations
from service.storage.errors import EarlierVersion
from service.storage.states import RunState, TrialState
from service.storage.studies import spec_of
from service.storage.study_tables import Study
from service.storage.study_work import (
    Spent,
    StudyWork,
    UnfinishedRun,
    count_unfinished_runs,
    spent_of,
    work_of,
)

_spent: Counted[Spent] = Counted()


@dataclass(frozen=True)
class Left:
    """What a study has left to train, and how many runs are trained at once."""

    #: Seconds that each run in work still takes.
    in_work_s: Sequence[float]
    #: Steps of each run that waits.
    waiting: Sequence[int]
    #: Most runs that are still to be submitted, and the steps that they may have together.
    to_come: int
    steps_to_come: float
    at_once: int
    #: Seconds after which no trial begins.
    begins_within_s: float

    def seconds(self, usual: Duration | None, steps: int) -> float | None:
        """Seconds until all is done if each run to come has so many steps; None if not known."""
        longest = max(self.in_work_s, default=0.0)
        to_come = math.ceil(min(self.to_come, self.steps_to_come / steps))
        n_runs = len(self.waiting) + to_come
        if not n_runs:
            return longest
        if usual is None:
            return None
        mean_s = (sum(map(usual.of, self.waiting)) + to_come * usual.of(steps)) / n_runs
        rounds_s = mean_s * math.ceil(n_runs / self.at_once)
        seconds = sum(self.in_work_s) / self.at_once + rounds_s
        return max(longest, min(seconds, self.begins_within_s + usual.of(steps)))


async def etas(session: AsyncSession, trials: Mapping[UUID, TrialCounts]) -> dict[UUID, str]:
    """When each study is done, in words; studies of which that is not known are missing.

    Args:
        session: Reads rows alone.
        trials: How many trials of each study are in each state.
    """
    works = {work.study.id: work for work in await work_of(session, list(trials))}
    specs = dict(_specs_of(works.values()))
    if not specs:
        return {}
    spent = await _spent.of({id: trials[id] for id in specs}, lambda ids: spent_of(session, ids))
    n_unfinished = await count_unfinished_runs(session)
    usual = await usual_durations(session, [spec.experiment({}) for spec in specs.values()])
    present = await agents.seen_lately(session, agents.AGENT_LASTS)
    words = {}
    for (id, spec), of_runs in zip(specs.items(), usual, strict=True):
        work, n_agents = works[id], agents.able(present, spec.base.device)
        known = of_runs or _as_in_work(work.unfinished)
        in_flight = trials[id].get(TrialState.RUNNING, 0)
        left = _left(work, spec, known, spent[id], n_in_flight=in_flight, n_agents=n_agents)
        if left and (ends := _ends(left, spec, known)):
            words[id] = _words(ends, is_alone=n_unfinished == len(work.unfinished))
    return words


def _specs_of(works: Iterable[StudyWork]) -> Iterator[tuple[UUID, StudySpec]]:
    for work in works:
        with suppress(EarlierVersion):
            yield work.study.id, spec_of(work.study)


def _left(
    work: StudyWork,
    spec: StudySpec,
    usual: Duration | None,
    spent: Spent,
    *,
    n_in_flight: int,
    n_agents: int,
) -> Left | None:
    """What a study has left; None if it is not known."""
    in_work = [run for run in work.unfinished if run.state is RunState.RUNNING]
    in_work_s = [seconds for run in in_work if (seconds := _seconds(run, usual)) is not None]
    at_once = max(min(n_agents, spec.concurrency * spec.runs_of_a_trial), len(in_work))
    if len(in_work_s) < len(in_work) or not at_once:
        return None
    study = work.study
    n_wanted = study.trials_wanted - spent.points - n_in_flight
    steps_left = math.inf if study.steps_wanted is None else study.steps_wanted - spent.steps
    return Left(
        in_work_s=in_work_s,
        waiting=[run.steps for run in work.unfinished if run.state is RunState.QUEUED],
        to_come=max(n_wanted, len(study.to_repeat)) * spec.runs_of_a_trial,
        steps_to_come=max(steps_left, 0),
        at_once=at_once,
        begins_within_s=_begins_within_s(study, spec),
    )


def _ends(left: Left, spec: StudySpec, usual: Duration | None) -> Sequence[float]:
    """Seconds until all is done with the fewest and with the most steps; empty if not known."""
    ends = [left.seconds(usual, steps) for steps in sorted({spec.steps, spec.most_steps})]
    return [end for end in ends if end]


def _seconds(run: UnfinishedRun, usual: Duration | None) -> float | None:
    """Seconds that a run in work still takes; None if not known."""
    progress = _progress(run)
    if progress is not None:
        return progress.eta_s
    return None if usual is None else usual.of(run.steps)


def _as_in_work(unfinished: Sequence[UnfinishedRun]) -> Duration | None:
    """The duration of runs by one that is in work, where no run like it has succeeded yet."""
    for run in unfinished:
        progress = _progress(run)
        if progress is not None and progress.step < progress.steps:
            return Duration(progress.eta_s / (progress.steps - progress.step), 0.0)
    return None


def _progress(run: UnfinishedRun) -> Progress | None:
    return Reader().read("progress", Progress, run.progress)


def _begins_within_s(study: Study, spec: StudySpec) -> float:
    """Seconds after which the study begins no trial, because its hours are over."""
    if spec.budget.hours is None:
        return math.inf
    since = datetime.now(UTC) - (study.went_on_at or study.created_at)
    # the hours may be more than a date can have
    return max(3600 * spec.budget.hours - since.total_seconds(), 0.0)


def _words(ends: Sequence[float], *, is_alone: bool) -> str:
    about = " to ".join(dict.fromkeys(map(_roughly, sorted(ends))))
    others = "" if is_alone else " if agents train nothing else"
    return f"all is done in about {about}{others}"


def _roughly(seconds: float) -> str:
    """The duration, no finer than can be known: in minutes from ten minutes on, else in 10 s."""
    unit = 60 if seconds >= 600 else 10
    return duration(unit * max(round(seconds / unit), 1))
