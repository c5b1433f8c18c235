"""When studies will have done all that they want, as well as it can be said."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Progress
from polar.spec import StudySpec
from service.api.pages.rendering import duration
from service.api.stored import Reader
from service.api.studies.answers import able_agents
from service.storage.durations import Duration, usual_duration
from service.storage.errors import EarlierVersion
from service.storage.states import RunState
from service.storage.studies import spec_of
from service.storage.study_tables import Study
from service.storage.study_work import StudyWork, UnfinishedRun, count_unfinished_runs, work_of


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


async def etas(session: AsyncSession, study_ids: Sequence[UUID]) -> dict[UUID, str]:
    """When each study is done, in words; studies of which that is not known are missing."""
    works = await work_of(session, study_ids)
    n_unfinished = await count_unfinished_runs(session) if works else 0
    usual: dict[str, Duration | None] = {}
    words = {}
    for work in works:
        with suppress(EarlierVersion):
            spec = spec_of(work.study)
            base = spec.base
            like = f"{base.dataset!r} {base.model!r} {base.training.batch_size}"
            if like not in usual:
                usual[like] = await usual_duration(session, spec.experiment({}))
            n_agents = await able_agents(session, base.device)
            known = usual[like] or _as_in_work(work.unfinished)
            if ends := _ends(work, spec, n_agents, known):
                is_alone = n_unfinished == len(work.unfinished)
                words[work.study.id] = _words(ends, is_alone=is_alone)
    return words


def _ends(
    work: StudyWork, spec: StudySpec, n_agents: int, usual: Duration | None
) -> Sequence[float]:
    """Seconds until all is done with the fewest and with the most steps; empty if not known."""
    in_work = [run for run in work.unfinished if run.state is RunState.RUNNING]
    in_work_s = [seconds for run in in_work if (seconds := _seconds(run, usual)) is not None]
    at_once = max(min(n_agents, spec.concurrency * spec.runs_of_a_trial), len(in_work))
    if len(in_work_s) < len(in_work) or not at_once:
        return ()
    n_wanted = work.study.trials_wanted - work.n_finished - work.n_in_flight
    left = Left(
        in_work_s=in_work_s,
        waiting=[run.steps for run in work.unfinished if run.state is RunState.QUEUED],
        to_come=max(n_wanted, len(work.study.to_repeat)) * spec.runs_of_a_trial,
        steps_to_come=math.inf if work.steps_left is None else work.steps_left,
        at_once=at_once,
        begins_within_s=_begins_within_s(work.study, spec),
    )
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
