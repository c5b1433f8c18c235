"""Copies studies to MLflow: each is a run, above a run for each trial of several seeds."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from uuid import UUID

from polar.spec import StudySpec
from service.storage import forms, runs, studies, study_tracking, telling
from service.storage.database import Database
from service.storage.errors import NotFound
from service.storage.study_tables import Study, Trial
from service.storage.study_tracking import Nesting, TrialToTell
from service.storage.telling import said_of_study
from service.storage.tracking_tables import StudyTracking, TrialTracking
from workers.tracking import run_entries, saved_view, study_entries
from workers.tracking.description_entries import NAME, name_entries
from workers.tracking.edits import Edits
from workers.tracking.server import MLflowServer
from workers.tracking.study_figures import StudyFigures

#: Number of trials of a study in one pass, whose numbers fit into one request.
TRIALS_AT_ONCE = 40

_log = logging.getLogger(__name__)


class StudyTeller:
    """Copies one study, or nests one run; repeating either changes nothing."""

    def __init__(self, database: Database, mlflow: MLflowServer, edits: Edits) -> None:
        self._database = database
        self._mlflow = mlflow
        self._edits = edits
        self.figures = StudyFigures(database, mlflow)

    async def tell(self, study_id: UUID) -> None:
        """Tell MLflow what is new about a study and its next trials."""
        # The study is read after its trials: if a trial ends in between, the next pass tells both.
        async with self._database.transaction() as session:
            new = await study_tracking.trials_to_tell(session, study_id, TRIALS_AT_ONCE)
            study = await studies.get(session, study_id)
            position = await study_tracking.mlflow_run_of_study(session, study_id)
        if position and not new and self._lacks_figures_alone(study):
            return
        spec = forms.study_spec(study.spec)
        position = position or await self._begin(study, spec)
        tags = await self._mlflow.tags_of(position.mlflow_run_id)
        if await self._edits.take(study_id, tags):
            return await self.tell(study_id)  # as it is now
        if tags.get(NAME) != study_entries.study_name(study, spec):
            # before MLflow knows the new name, so that a tracker that is killed in between does it
            async with self._database.transaction() as session:
                await study_tracking.nest_all_again(session, study_id)
        for to_tell in new:
            await self._tell_trial(to_tell, spec, position)
        trials = [to_tell.trial for to_tell in new]
        await self._tell_study(study, trials, spec, position)
        async with self._database.transaction() as session:
            await study_tracking.advance_trials(session, trials)
        if len(new) == TRIALS_AT_ONCE:  # the next pass tells the others
            return
        if study.finished_at is not None:
            self.figures.undrawn[study_id] = study
            return
        async with self._database.transaction() as session:
            await study_tracking.advance(session, study)

    async def draw(self, study_id: UUID) -> None:
        """Put the figures of a study into MLflow, the last thing that is told of its end."""
        told = self.figures.undrawn.get(study_id)
        try:
            await self.figures.put(study_id)
        except NotFound:  # it was deleted
            self.figures.undrawn.pop(study_id, None)
            return
        if told is None:
            return
        async with self._database.transaction() as session:
            await study_tracking.advance(session, told)
        if self.figures.undrawn[study_id] is told:
            del self.figures.undrawn[study_id]

    def _lacks_figures_alone(self, study: Study) -> bool:
        told = self.figures.undrawn.get(study.id)
        return told is not None and all(
            getattr(told, name) == getattr(study, name)
            for name in ("state", "finished_at", "described_at")
        )

    async def nest(self, nesting: Nesting) -> None:
        """Put a run below its trial, or below the study if its trial has no other run."""
        async with self._database.transaction() as session:
            run = await runs.get(session, nesting.run_id)
            study = await studies.get(session, nesting.study_id)
            trial = await studies.trial_of(session, nesting.study_id, nesting.number)
            said = await telling.said_of(session, nesting.run_id)
        if await self._edits.take(run.id, await self._mlflow.tags_of(nesting.mlflow_run_id)):
            return await self.nest(nesting)  # as it is now
        name = study_entries.seed_name(run, said, trial, study, forms.study_spec(study.spec))
        tags = {**study_entries.nesting_tags(nesting), **name_entries(name, said.name)}
        await self._mlflow.log(nesting.mlflow_run_id, tags=run_entries.as_tags(tags))
        async with self._database.transaction() as session:
            await study_tracking.nest(session, nesting)

    async def _begin(self, study: Study, spec: StudySpec) -> StudyTracking:
        _log.info("study %s appears in MLflow", study.id, extra={"study": study.id})
        experiment_id = await self._mlflow.experiment(
            run_entries.experiment_name(spec.base), saved_view.experiment_tags()
        )
        run_id = await self._mlflow.begin_run(
            experiment_id,
            study_entries.marks_of_study(study),
            name=study_entries.study_name(study, spec),
            start_ms=run_entries.milliseconds(study.created_at),
            tags=study_entries.study_tags(study, spec),
        )
        await self._mlflow.log(run_id, parameters=study_entries.study_parameters(spec))
        await self._put_file(run_id, "spec.yaml", spec.to_yaml())
        async with self._database.transaction() as session:
            return await study_tracking.begin_study(
                session, study.id, mlflow_experiment_id=experiment_id, mlflow_run_id=run_id
            )

    async def _begin_trial(self, to_tell: TrialToTell, of_study: StudyTracking) -> TrialTracking:
        run_id = await self._begin_run(to_tell.trial, of_study) if to_tell.seeds > 1 else None
        async with self._database.transaction() as session:
            return await study_tracking.begin_trial(session, to_tell.trial, run_id)

    async def _begin_run(self, trial: Trial, of_study: StudyTracking) -> str:
        run_id = await self._mlflow.begin_run(
            of_study.mlflow_experiment_id,
            study_entries.marks_of_trial(trial),
            name=study_entries.trial_name(trial),
            start_ms=run_entries.milliseconds(trial.created_at),
            tags=study_entries.trial_tags(trial),
        )
        await self._mlflow.log(run_id, parameters=run_entries.dotted(trial.point))
        return run_id

    async def _tell_trial(
        self, to_tell: TrialToTell, spec: StudySpec, of_study: StudyTracking
    ) -> None:
        position = to_tell.position or await self._begin_trial(to_tell, of_study)
        if position.mlflow_run_id is None:
            return
        run_id, trial = position.mlflow_run_id, to_tell.trial
        metrics = study_entries.trial_metrics(trial, spec)
        # the trial may be in MLflow from before, below a run of the study that is gone
        parent = {study_entries.PARENT: of_study.mlflow_run_id}
        tags = study_entries.trial_tags(trial) | parent
        await self._mlflow.log(run_id, metrics=metrics, tags=tags)
        await self._tell_end(trial, of_study, run_id, study_entries.marks_of_trial(trial))

    async def _tell_study(
        self, study: Study, trials: Sequence[Trial], spec: StudySpec, position: StudyTracking
    ) -> None:
        run_id = position.mlflow_run_id
        metrics = [study_entries.trial_metrics(trial, spec) for trial in trials]
        if position.state is None:
            await self._edits.remove_former_tags(run_id, said_of_study(study))
        await self._mlflow.log(
            run_id,
            metrics=[*itertools.chain(*metrics), *study_entries.range_metrics(study)],
            tags=study_entries.study_tags(study, spec),
        )
        await self._tell_end(study, position, run_id, study_entries.marks_of_study(study))

    async def _tell_end(
        self, row: Study | Trial, of_study: StudyTracking, run_id: str, marks: Mapping[str, str]
    ) -> None:
        """Record the status; once the study or trial has ended, keep only one MLflow run of it."""
        end_ms = run_entries.milliseconds(row.finished_at) if row.finished_at else None
        await self._mlflow.set_status(run_id, run_entries.status(row.state), end_ms)
        if row.finished_at is not None:
            await self._mlflow.delete_doubles(of_study.mlflow_experiment_id, marks, run_id)

    async def _put_file(self, run_id: str, name: str, text: str) -> None:
        root = await self._mlflow.file_root(run_id)
        await self._mlflow.put_file(root, name, text.encode())
