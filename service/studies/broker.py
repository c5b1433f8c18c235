"""Advances studies: the broker follows trials, judges those that have ended, and begins new ones.

A step reads the state of everything and does what is due, so it may be killed at any point and
repeated: the outcome of a trial is told to Optuna from our tables, and a trial that Optuna was
asked for but that was not stored is recovered from Optuna's database. The row of the study is
locked during a step.

The same study has the same trials whichever training ends first: a proposal depends on the
outcomes of the trials up to its own place minus the concurrency, and on the points of the others.
Our tables show every outcome at once. Optuna is told an outcome only before it is asked for a
proposal that may depend on it, or when the study ends.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from uuid import UUID

from optuna.storages import BaseStorage
from procrastinate import App
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import StudySpec
from polar.spec.points import Point
from service import queue
from service.repetition import MOST_REPETITIONS, Repetition
from service.storage import experiments, runs, studies, study_tracking, turns
from service.storage.database import Database, is_away
from service.storage.errors import Conflict, NotFound
from service.storage.evaluations import evaluation_steps, evaluations_at
from service.storage.states import StudyState, TrialState
from service.storage.studies import COLLAPSED
from service.storage.study_tables import Study, Trial
from service.storage.texts import printable
from service.studies.certifying import certified, spared
from service.studies.deleting import remove_deleted
from service.studies.due import deciding, end_if_due, is_due_a_trial
from service.studies.following import Following, Report, Stop
from service.studies.judging import stored_outcome
from service.studies.optimiser import Exhausted, Optimiser
from service.studies.outcomes import outcomes_of
from service.studies.ranges import next_point, range_of

_log = logging.getLogger(__name__)

#: Number of evaluations that are read at a time.
READ_AT_ONCE = 500
#: Seconds until a study that raised an error is tried again.
AGAIN_S = 15.0
#: Number of characters of an error that are stored with a study and each of its trials in flight.
MOST_OF_A_REASON = 1000


class Broker:
    """Advances the studies of one database."""

    def __init__(self, database: Database, queue_app: App, storage: BaseStorage) -> None:
        self._database = database
        self._queue = queue_app
        self._storage = storage
        self._not_before: dict[UUID, float] = {}
        self._repetition = Repetition()
        self._followings: dict[UUID, Following] = {}
        #: How many trials a study had when its sampler had no new point. It is asked again when
        #: all trials have ended, knowing all outcomes: cancelled points may be tried again. This
        #: only saves time: without it the sampler would be asked again and would refuse, because
        #: Optuna's database has counted its useless proposals.
        self._exhausted: dict[UUID, int] = {}

    async def advance_all(self) -> None:
        """Advance every unfinished study by one step.

        Raises:
            DatabaseAway: the database does not answer.
        """
        await remove_deleted(self._database, self._storage)
        async with self._database.transaction() as session:
            unfinished = await studies.unfinished(session)
        for ended in self._followings.keys() - set(unfinished):
            del self._followings[ended]
        for study_id in unfinished:
            if time.monotonic() < self._not_before.get(study_id, 0.0):
                continue
            ids = {"study": study_id}
            try:
                await self.advance(study_id)
                self._repetition.forget(study_id)
            except NotFound:  # it has been deleted meanwhile
                continue
            except Exception as error:  # a fault of one study must not stop the others
                if is_away(error):
                    raise
                try:
                    await self._try_again_or_give_up(study_id, error)
                except Exception as failure:
                    if is_away(failure):
                        raise
                    _log.exception("study %s cannot even be given up", study_id, extra=ids)

    async def _try_again_or_give_up(self, study_id: UUID, error: Exception) -> None:
        self._not_before[study_id] = time.monotonic() + AGAIN_S
        times = self._repetition.count(study_id, error)
        ids = {"study": study_id}
        if times < MOST_REPETITIONS:
            pause = "study %s cannot advance, next try in %.0f s"
            _log.exception(pause, study_id, AGAIN_S, extra=ids)
            return
        _log.exception("study %s has failed", study_id, extra=ids)
        reason = printable(f"{type(error).__name__}: {error}"[:MOST_OF_A_REASON])
        message = (
            f"the broker failed {times} times in a row at this study, the last time with "
            f"{reason}; once that is mended, `polar study extend {study_id} 1` lets it go on"
        )
        async with self._database.transaction() as session:
            for experiment_id in await studies.give_up(session, study_id, message):
                with contextlib.suppress(Conflict):  # its last run has just ended
                    await queue.cancel_experiment(session, experiment_id)
        self._repetition.forget(study_id)

    async def advance(self, study_id: UUID) -> None:
        """Do what is due in one study; nothing is due if nothing has happened since the last step.

        Raises:
            DatabaseAway: the database does not answer.
        """
        try:
            async with self._database.transaction() as session:
                study = await studies.locked(session, study_id)
                spec = studies.spec_of(study)
                trials = await studies.trials_of(session, study_id)
                await self._follow(session, study, spec, trials)
                await self._judge(session, study, spec, trials)
                await self._tell_all_at_the_end(session, study, spec, trials)
        except BaseException:
            self._followings.pop(study_id, None)  # it may hold what was rolled back
            raise
        while await self._begin_one(study_id):
            pass

    async def _optimiser(self, study: Study, spec: StudySpec) -> Optimiser:
        return await asyncio.to_thread(Optimiser, self._storage, study.id, spec)

    async def _follow(
        self, session: AsyncSession, study: Study, spec: StudySpec, trials: Sequence[Trial]
    ) -> None:
        """Read new reports, show them in Optuna, and stop trainings not worth their time."""
        if len(spec.objectives) > 1 and spec.pruner.name == "none":
            return  # Optuna shows the reports of one objective only
        to_follow = trials
        if study.id in self._followings or not spec.pruner.compares:
            to_follow = [trial for trial in trials if trial.state is TrialState.RUNNING]
        if study.id not in self._followings:
            self._followings[study.id] = Following(spec)
        following = self._followings[study.id]
        runs_by_experiment = await studies.runs_of(
            session, [trial.experiment_id for trial in to_follow]
        )
        followed = {trial: runs_by_experiment[trial.experiment_id] for trial in to_follow}
        run_ids = [run.id for trial_runs in followed.values() for run in trial_runs]
        unread = following.unread(await evaluation_steps(session, run_ids))
        for place in range(0, len(unread), READ_AT_ONCE):
            rows = await evaluations_at(session, unread[place : place + READ_AT_ONCE])
            following.add(rows, {run.id: run for of_one in followed.values() for run in of_one})
        reports = following.reports(followed)
        if len(spec.objectives) == 1:
            await self._show(study, spec, trials, reports)
        stops = list(following.stops(followed, reports))
        collapsed = {stop.trial.number for stop in stops if stop.reason == COLLAPSED}
        spared_numbers = await spared(session, study, spec, trials, collapsed)
        for stop in stops:
            if stop.reason != COLLAPSED or stop.trial.number not in spared_numbers:
                await self._stop(session, stop)

    async def _show(
        self, study: Study, spec: StudySpec, trials: Sequence[Trial], reports: Sequence[Report]
    ) -> None:
        running = {trial.number for trial in trials if trial.state is TrialState.RUNNING}
        shown = {
            (report.number, report.step): report.values[0]
            for report in reports
            if report.number in running
        }
        if shown:
            optimiser = await self._optimiser(study, spec)
            await asyncio.to_thread(optimiser.report, shown)

    async def _stop(self, session: AsyncSession, stop: Stop) -> None:
        """Stop these trainings of a trial, except those that another experiment wants."""
        for run in await experiments.unshared_runs(session, stop.trial.experiment_id):
            if run.id in stop.run_ids and not run.cancel_requested:
                _log.info("run %s is pruned: %s", run.id, stop.message, extra={"run": run.id})
                await runs.request_prune(session, run, stop.reason, stop.message)
                await queue.cancel(session, [run])

    async def _judge(
        self, session: AsyncSession, study: Study, spec: StudySpec, trials: Sequence[Trial]
    ) -> None:
        """End the trials in flight whose runs have all ended."""
        outcomes = await outcomes_of(session, study, spec, trials)
        if not outcomes:
            return
        for trial, outcome in outcomes:
            await studies.end_trial(
                session,
                trial,
                outcome.state,
                values=outcome.values,
                measured=outcome.measured,
                reason=outcome.reason,
                message=outcome.message,
            )
            if study.id in self._followings:
                self._followings[study.id].end(trial)
            if outcome.state is TrialState.COMPLETED:
                await _keep_one(session, trial, trials)
            ended = "study %s: trial %d is %s"
            _log.info(ended, study.id, trial.number, outcome.state, extra={"study": study.id})
        if not studies.is_answered_by_former_rules(study, trials):
            study.range = await certified(session, study, spec, range_of(spec, trials))

    async def _tell_all_at_the_end(
        self, session: AsyncSession, study: Study, spec: StudySpec, trials: Sequence[Trial]
    ) -> None:
        """Tell Optuna how all trials of a study ended that has ended, once none is in flight."""
        has_ended = study.state not in studies.UNFINISHED
        if has_ended and all(trial.state is not TrialState.RUNNING for trial in trials):
            await self._tell(session, study, spec, trials)
            study.is_told = True

    async def _tell(
        self, session: AsyncSession, study: Study, spec: StudySpec, trials: Sequence[Trial]
    ) -> Optimiser:
        """The optimiser of a study, told how these trials ended in the order of their numbers."""
        optimiser = await self._optimiser(study, spec)
        untold = await asyncio.to_thread(optimiser.untold)
        in_mlflow = await study_tracking.mlflow_runs_of_trials(session, study.id)
        for trial in trials:
            if trial.number in untold:
                attributes = {
                    "experiment_id": str(trial.experiment_id),
                    "mlflow_run_id": in_mlflow.get(trial.number),
                    "status_reason": trial.status_reason,
                }
                outcome = stored_outcome(spec, trial)
                await asyncio.to_thread(optimiser.tell, trial.number, outcome, attributes)
        return optimiser

    async def _begin_one(self, study_id: UUID) -> bool:
        """Begin a trial or end the study, whichever is due; return whether more may be due."""
        async with self._database.transaction() as session:
            study = await studies.locked(session, study_id)
            spec = studies.spec_of(study)
            trials = await studies.trials_of(session, study.id)
            if study.state is not StudyState.RUNNING:
                return False
            now = (await session.execute(select(func.now()))).scalar_one()
            if await end_if_due(session, study, spec, trials, now):
                await self._tell_all_at_the_end(session, study, spec, trials)
                return False
            if not is_due_a_trial(study, spec, trials, now):
                return False
            is_exhausted = self._exhausted.get(study_id) == len(trials)
            if is_exhausted and any(trial.state is TrialState.RUNNING for trial in trials):
                return False
            known = trials if is_exhausted else deciding(spec, trials)
            try:
                await self._begin(session, study, spec, trials, known)
            except Exhausted as error:
                self._exhausted[study_id] = len(trials)
                if is_exhausted:
                    await studies.end(
                        session, study, StudyState.COMPLETED, "exhausted", str(error)
                    )
        return True

    async def _begin(
        self,
        session: AsyncSession,
        study: Study,
        spec: StudySpec,
        trials: Sequence[Trial],
        known: Sequence[Trial],
    ) -> None:
        """Begin a trial whose proposal depends on no outcomes but those that Optuna knows.

        Those are the outcomes of these trials and, if the study had ended and was then extended,
        of all that it had before.
        """
        optimiser = await self._tell(session, study, spec, known)
        untold = await asyncio.to_thread(optimiser.untold)
        known = [trial for trial in trials if trial.number not in untold]
        cancelled = {trial.number for trial in known if trial.state is TrialState.CANCELLED}
        tried = [
            trial.point
            for trial in trials
            if trial.number not in cancelled and trial.point not in study.to_repeat
        ]
        numbers = {trial.number for trial in trials}
        chosen: Point | None = None
        if study.to_repeat:
            chosen = study.to_repeat[0]
        elif spec.sampler == "range":
            chosen = await asyncio.to_thread(next_point, spec, trials, known)
        question = f"{len(trials)} trials, {len(known)} known, since {study.went_on_at}"
        asked = await asyncio.to_thread(optimiser.ask, tried, numbers, chosen, question=question)
        study.to_repeat = [point for point in study.to_repeat if point != asked.point]
        turn = await turns.next_turn(session, study)
        submission = await experiments.create(
            session,
            spec.experiment(asked.point),
            study.dataset_digest,
            priority=turns.priority_of(turn),
        )
        await queue.enqueue(self._queue, session, submission.new)
        await studies.begin_trial(
            session,
            study,
            number=asked.number,
            point=asked.point,
            experiment_id=submission.experiment.id,
            turn=turn,
        )
        tries = "study %s: trial %d tries %s"
        _log.info(tries, study.id, asked.number, asked.point, extra={"study": study.id})


async def _keep_one(session: AsyncSession, trial: Trial, trials: Sequence[Trial]) -> None:
    """Keep one completed trial of this trial's point: that with the most seeds, then steps."""
    completed = [
        other
        for other in trials
        if other.point == trial.point and other.state is TrialState.COMPLETED
    ]
    best = max(completed, key=lambda other: (len(other.seeds), other.steps, other.number))
    for other in completed:
        if other is not best:
            await studies.supersede(session, other, best)
