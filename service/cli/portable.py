"""A study in one SQLite file that Optuna and its dashboard open, made from the service's answers.

Nobody but the broker needs Optuna's own database for it, so it works from anywhere.
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
from polar.files import written_aside
from polar.records.events import Evaluation
from polar.records.trials import Measures
from polar.spec import StudySpec
from service.api.runs.schemas import Diagnostics, LatentRow
from service.api.studies.schemas import StudyView, TrialView
from service.cli.connection import spec_of
from service.client import Client
from service.storage.states import TrialState
from service.studies.judging import measures, value_of, violations_of
from service.studies.optimiser import OPTUNA_STATES, study_name, suggest

STATES = {
    **OPTUNA_STATES,
    TrialState.RUNNING: OptunaState.RUNNING,
    # it has a newer trial with more seeds; Optuna knows no such thing
    TrialState.SUPERSEDED: OptunaState.COMPLETE,
}


def export_study(client: Client, study_id: str, out: Path) -> None:
    """Writes the study as it stands, in place of a file that may be there.

    Raises:
        InvalidInput: the file cannot be written.
        ClientError: as the client.
    """
    study = client.study(study_id)
    spec = spec_of(study)
    trials = [_frozen(client, spec, trial) for trial in client.trials(study_id)]
    try:
        with written_aside(out) as aside:
            aside.touch()  # where that fails, the system's reason is clearer than SQLite's
            _write(aside, study, spec, _with_numbers(trials))
    except OSError as error:
        raise InvalidInput(f"cannot write {out}: {error.strerror}") from error
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
    """For an engine on this file, whose name in a URL would be read as more than a name."""
    return {"creator": partial(sqlite3.connect, path), "poolclass": NullPool}


def _with_numbers(trials: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
    """With the duplicates that Optuna had numbered and we never tried, so that numbers stay."""
    by_number = {trial.number: trial for trial in trials}
    for number in range(max(by_number, default=-1) + 1):
        yield by_number.get(number) or optuna.trial.create_trial(
            state=OptunaState.FAIL, user_attrs={"status_reason": "duplicate"}
        )


def _frozen(client: Client, spec: StudySpec, trial: TrialView) -> FrozenTrial:
    told = {
        "experiment_id": str(trial.experiment_id),
        "status_reason": trial.reason,
        "status_message": trial.message,
    }
    measured = trial.measured.model_dump(mode="json") if trial.measured else {}
    attributes = {**measured, **told}
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
        trial_id=-1,  # the storage has its own
    )
    if trial.measured is not None:
        for name, violation in violations_of(spec, trial.measured).items():
            frozen.set_constraint(name, violation)
    return frozen


def _distributions(spec: StudySpec, trial: TrialView) -> dict[str, BaseDistribution]:
    """What the axes were to the optimiser that chose the trial's point."""
    chosen = FixedTrial(dict(trial.point))
    for name in trial.point:
        suggest(chosen, name, spec.swept[name])
    return chosen.distributions


def _reports(client: Client, spec: StudySpec, trial: TrialView) -> dict[int, float]:
    """The objective at the steps that all seeds have come to; of several, Optuna shows none."""
    if len(spec.objectives) > 1:
        return {}
    runs = client.experiment(trial.experiment_id).runs
    of_seeds = [_measured(client.diagnostics(run.id)) for run in runs]
    steps = set.intersection(*(set(one) for one in of_seeds))
    return {step: value_of(spec, 0, [one[step] for one in of_seeds]) for step in sorted(steps)}


def _measured(diagnostics: Diagnostics) -> Mapping[int, Measures]:
    """The measures of one run by step."""
    latents: dict[int, list[LatentRow]] = {}
    for row in diagnostics.latents:
        latents.setdefault(row.step, []).append(row)
    return {
        one.step: measures(
            Evaluation(
                step=one.step,
                epoch=one.epoch,
                reconstruction_nats=one.reconstruction_nats,
                latents=tuple(latents[one.step]),
                verdict=one.verdict,
            )
        )
        for one in diagnostics.evaluations
    }
