"""A study in one SQLite file that Optuna and its dashboard open, made from the service's answers.

The export needs no access to Optuna's own database, so it works from anywhere.
"""

import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FixedTrial, FrozenTrial
from optuna.trial import TrialState as OptunaState
from sqlalchemy import NullPool

from polar.errors import InvalidInput
from polar.records.events import Evaluation
from polar.records.trials import Measures
from polar.spec import StudySpec
from service.api.runs.schemas import Diagnostics, LatentRow
from service.api.studies.schemas import StudyView, TrialView
from service.cli.connection import spec_of
from service.cli.out_files import replacing
from service.client import Client
from service.storage.states import TrialState
from service.studies.judging import measures, value_of, violations_of
from service.studies.optimiser import OPTUNA_STATES, study_name, suggest

STATES = {**OPTUNA_STATES, TrialState.RUNNING: OptunaState.RUNNING}


def export_study(client: Client, study_id: str, out: Path) -> None:
    """Write the study as it stands, in place of a regular file that may be there.

    Raises:
        InvalidInput: the file cannot be written.
        ClientError: the service cannot be asked, or refuses.
    """
    study = client.study(study_id)
    spec = spec_of(study)
    trials = [_frozen(client, spec, trial) for trial in client.trials(study_id)]
    try:
        with replacing(out) as aside:
            aside.touch()  # if this fails, the system's reason is clearer than SQLite's
            _write(aside, study, spec, _with_numbers(trials))
    except StorageInternalError as error:
        raise InvalidInput(f"cannot write {out}: {error.__cause__ or error}") from error


def _write(path: Path, study: StudyView, spec: StudySpec, trials: Iterable[FrozenTrial]) -> None:
    copy = optuna.create_study(
        storage=RDBStorage("sqlite://", engine_kwargs=_file(path)),
        study_name=study_name(study.id, spec),
        directions=[objective.direction for objective in spec.objectives],
    )
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        copy.set_metric_names([objective.measure for objective in spec.objectives])
    for name, value in study.model_dump(mode="json", exclude={"links", "best", "watch"}).items():
        copy.set_user_attr("study_id" if name == "id" else name, value)
    copy.add_trials(trials)


def _file(path: Path) -> dict[str, object]:
    """Arguments for an engine on this file, whose name could be misread as part of a URL."""
    return {"creator": partial(sqlite3.connect, path), "poolclass": NullPool}


def _with_numbers(trials: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
    """The trials, and a failed one for each number that Optuna gave to a duplicate point."""
    by_number = {trial.number: trial for trial in trials}
    for number in range(max(by_number, default=-1) + 1):
        yield by_number.get(number) or optuna.trial.create_trial(
            state=OptunaState.FAIL, user_attrs={"status_reason": "duplicate"}
        )


def _frozen(client: Client, spec: StudySpec, trial: TrialView) -> FrozenTrial:
    measured = trial.measured.model_dump(mode="json") if trial.measured else {}
    attributes = {
        **measured,
        "experiment_id": str(trial.experiment_id),
        "status_reason": trial.reason,
        "status_message": trial.message,
    }
    frozen = FrozenTrial(
        number=trial.number,
        state=STATES[trial.state],
        value=None,
        values=trial.values,
        params=dict(trial.point),
        distributions=_distributions(spec, trial),
        user_attrs={name: value for name, value in attributes.items() if value is not None},
        system_attrs={},
        intermediate_values=_reports(client, spec, trial),
        datetime_start=trial.created_at.astimezone().replace(tzinfo=None),
        datetime_complete=trial.finished_at
        and trial.finished_at.astimezone().replace(tzinfo=None),
        trial_id=-1,  # the storage gives it an id of its own
    )
    if trial.measured is not None:
        for name, violation in violations_of(spec, trial.measured).items():
            frozen.set_constraint(name, violation)
    return frozen


def _distributions(spec: StudySpec, trial: TrialView) -> dict[str, BaseDistribution]:
    """The axes as they were for the optimiser when it chose the trial's point."""
    chosen = FixedTrial(dict(trial.point))
    for name in trial.point:
        suggest(chosen, name, spec.axes[name])
    return chosen.distributions


def _reports(client: Client, spec: StudySpec, trial: TrialView) -> dict[int, float]:
    """The objective at each step that all seeds have reached; Optuna shows only a single one."""
    if len(spec.objectives) > 1:
        return {}
    runs = client.experiment(trial.experiment_id).runs
    seeds = [_measured(client.diagnostics(run.id)) for run in runs]
    steps = set.intersection(*map(set, seeds))
    return {step: value_of(spec, 0, [seed[step] for seed in seeds]) for step in sorted(steps)}


def _measured(diagnostics: Diagnostics) -> Mapping[int, Measures]:
    """The measures of one run by step."""
    latents: dict[int, list[LatentRow]] = {}
    for row in diagnostics.latents:
        latents.setdefault(row.step, []).append(row)
    return {
        evaluation.step: measures(
            Evaluation(
                step=evaluation.step,
                epoch=evaluation.epoch,
                reconstruction_nats=evaluation.reconstruction_nats,
                latents=tuple(latents[evaluation.step]),
                verdict=evaluation.verdict,
            )
        )
        for evaluation in diagnostics.evaluations
    }
