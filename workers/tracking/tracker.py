"""Copies our tables to MLflow.

The copy may lag, but the tracker neither loses a value nor stores it twice, wherever it is killed
and however long MLflow is away: a row records how far it has come, and moves only after MLflow has
confirmed. Only one tracker works at a time; others wait until it ends.

A run that has succeeded is told at once, with what it has, and again when its findings are made.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from polar.records.events import LAST_STATE_FILE
from polar.spec import ExperimentSpec
from service.settings import Settings
from service.storage import (
    findings,
    forms,
    runs,
    study_tracking,
    telling,
    tracking,
    tracking_failures,
)
from service.storage.artifacts import artifacts_of
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.states import FindingsState
from service.storage.tables import Artifact, FindingsRow, Run, Tracking
from service.storage.telling import Said
from workers.tracking import run_entries, saved_view
from workers.tracking.deleting import remove_deleted
from workers.tracking.description_entries import name_entries
from workers.tracking.edits import Edits
from workers.tracking.server import BATCH, MLflowAway, MLflowRefused, MLflowServer
from workers.tracking.study_tracker import StudyTeller
from workers.tracking.tries import AGAIN_S, FilesUnsent, Tries

#: Seconds between two passes over the tables, and after a pass that had nothing to tell or that
#: something hindered.
POLL_S, IDLE_POLL_S = 1.0, 5.0
#: Seconds from one telling of a run to the next while it is running, because each is a request
#: with a transaction of its own, however few numbers it has.
GATHER_S = 5.0
#: Most runs that one pass puts below their trials, because a study with a new name moves all its
#: runs, and everything else waits for a pass to end.
PLACES_AT_ONCE = 100
#: Most ended runs that one pass tells anew, because a tag on an experiment is on all its runs.
ANEW_AT_ONCE = 100

_log = logging.getLogger(__name__)


class AnotherTracker(Exception):
    """Another tracker is at work, so this one waits."""


class Tracker:
    """Brings MLflow up to date each time `tell_all` is called."""

    def __init__(self, database: Database, mlflow: MLflowServer, artifacts: Path) -> None:
        self._database = database
        self._mlflow = mlflow
        self._artifacts = artifacts
        self._edits = Edits(database, mlflow)
        self._studies = StudyTeller(database, mlflow, self._edits)
        self._tries = Tries(database)
        self._lock = tracking.TrackerLock(database)
        #: Draws what is due while everything else is told, because a drawing may hang.
        self.drawing: asyncio.Task[None] | None = None
        #: When each run was told that was told lately.
        self._told_at: dict[UUID, float] = {}
        self._delete_not_before = 0.0
        self._draw_not_before = 0.0
        self._is_new = True
        #: Whether there was something to tell lately, and the last pass was complete.
        self.is_busy = False

    async def tell_all(self) -> None:
        """Make a pass over all studies and runs of which MLflow lacks something.

        Raises:
            AnotherTracker: another tracker is at work.
            DatabaseAway: the database does not answer.
            MLflowAway: MLflow does not answer.
        """
        self.is_busy = False
        if not await self._lock.take():
            raise AnotherTracker("another tracker is at work; waiting for its end")
        async with self._database.transaction() as session:
            if self._is_new:  # it tries everything again, so what still fails is noted again
                await tracking_failures.forget_all(session)
            study_ids = await study_tracking.studies_to_tell(session)
        self._is_new = False
        if time.monotonic() >= self._delete_not_before:
            await self._delete()
        await self._tries.each("study", study_ids, self._studies.tell)
        edited = await self._edits.due()
        await self._tries.each("edits of", edited, lambda id: self._edits.take(id, edited[id]))
        await self._begin_to_draw()
        now = time.monotonic()
        self._told_at = {id: at for id, at in self._told_at.items() if now < at + GATHER_S}
        async with self._database.transaction() as session:
            run_ids = await tracking.runs_to_tell(session, told_lately=self._told_at)
            anew = await tracking.runs_to_tell_anew(session)
        await self._tries.each("run", run_ids, self._tell)
        self._told_at |= dict.fromkeys(run_ids, now)
        due = [id for id in anew if self._tries.is_due("run", id)][:ANEW_AT_ONCE]
        await self._tries.each("run", due, self._tell)
        async with self._database.transaction() as session:
            nestings = await study_tracking.runs_to_nest(session)
        due = [id for id in nestings if self._tries.is_due("place of run", id)][:PLACES_AT_ONCE]
        await self._tries.each("place of run", due, lambda id: self._studies.nest(nestings[id]))
        self.is_busy = bool(study_ids or self._told_at or anew or nestings)

    async def _begin_to_draw(self) -> None:
        if self.drawing is not None:
            if not self.drawing.done():
                return
            self.drawing.result()  # raises what nobody has expected
            self.drawing = None
        if time.monotonic() < self._draw_not_before:
            return
        ids = await self._studies.figures.due()
        self.drawing = asyncio.create_task(self._draw(ids)) if ids else None

    async def _draw(self, study_ids: Sequence[UUID]) -> None:
        """Draw the figures of these studies; those that MLflow does not take now stay due."""
        try:
            await self._tries.each("figures of study", study_ids, self._studies.draw)
        except (DatabaseAway, MLflowAway) as error:  # a pass that has nothing to tell says nothing
            _log.warning("figures of studies wait; next try in %.0f s: %s", AGAIN_S, error)
            self._draw_not_before = time.monotonic() + AGAIN_S

    async def _delete(self) -> None:
        try:
            await remove_deleted(self._database, self._mlflow)
        except MLflowRefused as error:
            _log.error("MLflow keeps what was deleted; next try in %.0f s: %s", AGAIN_S, error)
            self._delete_not_before = time.monotonic() + AGAIN_S

    async def close(self) -> None:
        """End the drawing and release the lock, so that another tracker can take over."""
        if self.drawing is not None:
            self.drawing.cancel()
            await asyncio.wait([self.drawing])
            self.drawing = None
        await self._lock.release()

    async def _tell(self, run_id: UUID) -> None:
        # Run and findings are read first: if they have ended, nothing is added to what is read
        # after them. The position is read last: it says whether anything is described anew.
        async with self._database.transaction() as session:
            run = await runs.get(session, run_id)
            of_findings = await findings.of_run(session, run_id)
            said = await telling.said_of(session, run_id)
            position = await tracking.position_of(session, run_id)
        spec = forms.experiment_spec(run.spec)
        position = position or await self._begin(run, spec, said)
        await self._send_metrics(position)
        is_over = run.state.is_final and not position.complete
        unsent = await self._send_files(position) if is_over else []
        is_whole = is_over and (
            of_findings is None or of_findings.state is not FindingsState.TO_COME
        )
        has_changed = (position.state, position.attempt) != (run.state, run.attempt)
        if is_whole or has_changed:
            tags = await self._mlflow.tags_of(position.mlflow_run_id)
            if await self._edits.take(run_id, tags):
                return await self._tell(run_id)  # as it is now
            await self._send_state(run, of_findings, spec, position, said)
        if unsent:  # the position stays where it is, because they are to be tried again
            raise FilesUnsent(f"its files cannot be read: {'; '.join(unsent)}")
        if has_changed:
            await self._advance_state(run, position, said)
        if is_whole:
            await self._complete(position, of_findings)

    async def _begin(self, run: Run, spec: ExperimentSpec, said: Said) -> Tracking:
        _log.info("run %s appears in MLflow", run.id, extra={"run": run.id})
        experiment_id = await self._mlflow.experiment(
            run_entries.experiment_name(spec), saved_view.experiment_tags()
        )
        mlflow_run_id = await self._mlflow.begin_run(
            experiment_id,
            run_entries.marks(run.id),
            name=run_entries.run_name(spec, run.seed, said),
            start_ms=run_entries.milliseconds(run.started_at or run.created_at),
            tags=run_entries.tags(run, spec),
        )
        await self._mlflow.log(
            mlflow_run_id,
            metrics=[
                run_entries.metric_of(key, value, 0, run.created_at)
                for key, value in run_entries.weights(spec).items()
            ],
            parameters=run_entries.parameters(spec, run.seed),
        )
        await self._mlflow.log_dataset(mlflow_run_id, run_entries.dataset(run, spec))
        root = await self._mlflow.file_root(mlflow_run_id)
        await self._mlflow.put_file(root, "spec.yaml", spec.to_yaml().encode())
        async with self._database.transaction() as session:
            return await tracking.begin(
                session, run.id, mlflow_experiment_id=experiment_id, mlflow_run_id=mlflow_run_id
            )

    async def _send_metrics(self, position: Tracking) -> None:
        sequence = position.metric_sequence
        while True:
            async with self._database.transaction() as session:
                rows = await tracking.metrics_after(session, position.run_id, sequence, BATCH)
            if not rows:
                return
            await self._mlflow.log(
                position.mlflow_run_id, metrics=[run_entries.metric(row) for row in rows]
            )
            sequence = rows[-1].sequence
            await self._advance(position, metric_sequence=sequence)

    async def _send_files(self, position: Tracking) -> Sequence[str]:
        """Send the files of a run that has ended; returns why others could not be read."""
        async with self._database.transaction() as session:
            files = [
                file
                for file in await artifacts_of(session, position.run_id)
                if file.name != LAST_STATE_FILE  # only Polar can read it, from its own folder
            ]
        root = await self._mlflow.file_root(position.mlflow_run_id)
        unsent = []
        for file in files:
            try:
                await self._send_file(root, file)
            except OSError as error:  # a folder shared by machines may show the file later
                unsent.append(str(error))
        if any(run_entries.image_names(file) for file in files):
            await self._mlflow.log(position.mlflow_run_id, tags=run_entries.HAS_IMAGES)
        return unsent

    async def _send_file(self, root: str, file: Artifact) -> None:
        content = await asyncio.to_thread((self._artifacts / file.path).read_bytes)
        for name in (file.name, *run_entries.image_names(file)):
            await self._mlflow.put_file(root, name, content)

    async def _send_state(
        self,
        run: Run,
        of_findings: FindingsRow | None,
        spec: ExperimentSpec,
        position: Tracking,
        said: Said,
    ) -> None:
        async with self._database.transaction() as session:
            lost = await telling.lost_attempts(session, run.id)
        tags = run_entries.tags(run, spec, of_findings, said, lost)
        if position.state is None:  # new, or described anew
            name = run_entries.run_name(spec, run.seed, said)
            tags |= name_entries(name, said.name)
            await self._edits.remove_former_tags(position.mlflow_run_id, said)
        await self._mlflow.log(position.mlflow_run_id, tags=tags)
        end_ms = run_entries.milliseconds(run.finished_at) if run.finished_at else None
        await self._mlflow.set_status(
            position.mlflow_run_id, run_entries.status(run.state), end_ms
        )

    async def _complete(self, position: Tracking, of_findings: FindingsRow | None) -> None:
        await self._mlflow.delete_doubles(
            position.mlflow_experiment_id,
            run_entries.marks(position.run_id),
            position.mlflow_run_id,
        )
        async with self._database.transaction() as session:
            if of_findings and not await findings.still_are(session, of_findings):
                return  # somebody has asked for them anew, so MLflow will be told again
            await tracking.advance(session, position.run_id, complete=True)
        ids = {"run": position.run_id}
        _log.info("run %s is complete in MLflow", position.run_id, extra=ids)

    async def _advance_state(self, run: Run, position: Tracking, said: Said) -> None:
        """Note the state that MLflow knows, unless somebody has described the run anew."""
        async with self._database.transaction() as session:
            # this waits for whoever describes it, so that the next statement sees what they say
            await tracking.advance(session, run.id, state=run.state, attempt=run.attempt)
            if position.state is None:
                await study_tracking.nest_again(session, run.id)
            if await telling.said_of(session, run.id) != said:
                await tracking.advance(session, run.id, state=None)

    async def _advance(self, position: Tracking, **changes: object) -> None:
        async with self._database.transaction() as session:
            await tracking.advance(session, position.run_id, **changes)


async def track(settings: Settings) -> None:
    """Keep MLflow up to date for ever, and log what hinders that."""
    database = Database(settings.sqlalchemy_url, connections=3)
    async with MLflowServer(settings.mlflow_url, settings.mlflow_token) as mlflow:
        tracker = Tracker(database, mlflow, settings.artifacts)
        hindrance: Exception | None = None
        try:
            while True:
                before, hindrance = hindrance, await _hindrance(tracker)
                if type(before) is not type(hindrance):
                    _log.info("%s", hindrance or "telling MLflow again")
                await asyncio.sleep(POLL_S if tracker.is_busy else IDLE_POLL_S)
        finally:
            await tracker.close()
            await database.close()


async def _hindrance(tracker: Tracker) -> Exception | None:
    """The error that ended a pass early; None if the pass was complete."""
    try:
        await tracker.tell_all()
    except (AnotherTracker, DatabaseAway, MLflowAway) as error:
        return error
    return None
