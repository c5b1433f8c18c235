"""A study in one file, read back with Optuna; no broker is there, it is pretended."""

import json
import os
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import optuna
import pytest
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import TrialState as OptunaState
from sqlalchemy import NullPool

from polar.spec import StudySpec
from service.storage import experiments, studies
from service.storage.database import Database
from service.storage.states import TrialState
from service.studies.optimiser import Optimiser

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.cli.conftest import Polar, Write
    from tests.service.conftest import Trials, Worker

SPEC = """
name: mine
base: {dataset: {name: digits}, model: {}}
search: {model.beta: {log_uniform: [1e-2, 100]}}
objectives: [polarisation]
constraints: [{measure: polarisation, at_least: 0.7}]
"""
ALL_AXES = """
name: many
base: {dataset: {name: digits}, model: {}}
search:
  model.beta: {log_uniform: [1e-2, 100]}
  model.latent_dim: {integer: [2, 20]}
  training.learning_rate: {uniform: [1e-4, 1e-2]}
  training.batch_size: {choices: [32, 64]}
  training.steps: {fixed: 100}
sampler: tpe
objectives: [polarisation, {measure: n_active, target: 4}]
"""

HELD = """
base: {dataset: {name: digits}, model: {}}
search: {model.beta: {log_uniform: [1e-2, 100]}}
range: {held: true}
"""

Submit = Callable[[str], Awaitable[UUID]]


@pytest.fixture
def submit(polar: "Polar", write: "Write", worker: "Worker") -> Submit:
    async def create(spec: str) -> UUID:
        await worker.announce()
        result = await polar("study", "create", write(spec), "-o", "json")
        return UUID(json.loads(result.stdout)["id"])

    return create


def opened(path: Path) -> optuna.Study:
    """The one study in the file."""
    engine = {"creator": partial(sqlite3.connect, path), "poolclass": NullPool}
    storage = RDBStorage("sqlite://", engine_kwargs=engine)
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


async def test_a_study_goes_around_in_a_file_with_all_that_is_known_of_its_trials(
    polar: "Polar",
    submit: Submit,
    trials: "Trials",
    worker: "Worker",
    reports: "Reports",
    database: Database,
    tmp_path: Path,
) -> None:
    study_id = await submit(SPEC)
    first = await trials.begin(study_id, beta=0.25)
    run = json.loads((await polar("get", first.experiment_id, "-o", "json")).stdout)["runs"][0]
    await worker.claim(run["id"])
    await worker.record(run["id"], reports.evaluation(10), reports.evaluation(100))
    await trials.end(first, 0.75, regimes=["clean"], polarisation=0.75)
    await trials.end(await trials.begin(study_id, beta=50.0), state=TrialState.FAILED)
    await trials.end(await trials.begin(study_id, beta=40.0), state=TrialState.PRUNED)
    await trials.end(await trials.begin(study_id, beta=30.0), state=TrialState.CANCELLED)
    in_flight = await trials.begin(study_id, beta=2.0)
    async with database.transaction() as session:  # 4 was a duplicate, for Optuna only
        (await session.merge(in_flight)).number = 5
    # the part behind the `?` was taken for options, and left out of the name
    file = tmp_path / "my 'study' ?x#1%41é {a}[b]&;$.db"

    result = await polar("study", "export", study_id, "--format", "sqlite", "--out", file)

    study = opened(file)
    found = study.trials
    assert (result.exit_code, result.output) == (0, "")
    assert [trial.number for trial in found] == list(range(6))
    assert [trial.state for trial in found] == [
        OptunaState.COMPLETE,
        OptunaState.FAIL,
        OptunaState.PRUNED,
        OptunaState.FAIL,
        OptunaState.FAIL,
        OptunaState.RUNNING,
    ]
    assert [trial.params.get("model.beta") for trial in found] == [0.25, 50, 40, 30, None, 2]
    assert found[0].values == [0.75]
    assert found[0].constraints == {"polarisation at least 0.7": pytest.approx(-0.05)}
    assert found[0].intermediate_values == {10: 0.99, 100: 0.99}
    assert found[0].user_attrs["regimes"] == ["clean"]
    assert found[0].user_attrs["polarisation"] == 0.75
    assert found[0].user_attrs["experiment_id"] == str(first.experiment_id)
    assert found[1].user_attrs["status_message"] == "it went wrong"
    assert found[4].user_attrs == {"status_reason": "duplicate"}
    assert study.best_trial.number == 0
    assert study.metric_names == ["polarisation"]


async def test_the_file_has_our_spec_and_the_range_that_was_found(
    polar: "Polar", submit: Submit, trials: "Trials", tmp_path: Path
) -> None:
    study_id = await submit(SPEC)
    await trials.end_study(study_id, weights=5)
    stored = await polar("study", "show", study_id, "-o", "json")
    file = tmp_path / "study.db"

    await polar("study", "export", study_id, "--format", "sqlite", "--out", file)

    study = opened(file)
    assert study.study_name == f"mine {study_id}"
    assert study.user_attrs["study_id"] == str(study_id)
    assert StudySpec.model_validate(study.user_attrs["spec"]) == StudySpec.from_yaml(SPEC)
    assert study.user_attrs["range"] == json.loads(stored.stdout)["range"]
    assert study.user_attrs["range"]["weights"] == 5
    assert study.user_attrs["state"] == "completed"
    assert study.trials == []


async def test_distributions_and_directions_are_those_that_the_broker_gives_optuna(
    polar: "Polar", submit: Submit, database: Database, tmp_path: Path
) -> None:
    study_id, spec = await submit(ALL_AXES), StudySpec.from_yaml(ALL_AXES)
    storage = InMemoryStorage()
    point = Optimiser(storage, study_id, spec).ask([], [], question="").point
    async with database.transaction() as session:
        study = await studies.locked(session, study_id)
        begun = await experiments.create(session, spec.experiment(point), "d" * 64)
        await studies.begin_trial(
            session, study, number=0, point=point, experiment_id=begun.experiment.id, turn=0
        )
    file = tmp_path / "study.db"

    await polar("study", "export", study_id, "--format", "sqlite", "--out", file)

    theirs = optuna.load_study(study_name=f"many {study_id}", storage=storage)
    ours = opened(file)
    assert ours.trials[0].params == theirs.trials[0].params == point
    assert ours.trials[0].distributions == theirs.trials[0].distributions
    assert ours.directions == theirs.directions


async def test_a_training_that_went_on_has_a_distribution_of_the_weight_where_it_began(
    polar: "Polar", submit: Submit, trials: "Trials", tmp_path: Path
) -> None:
    study_id = await submit(HELD)
    start = {"training.warm_start.weight": 18.0}
    await trials.begin(study_id, beta=22.0, seed=0, **{"training.steps": 3000}, **start)
    file = tmp_path / "study.db"

    done = await polar("study", "export", study_id, "--format", "sqlite", "--out", file)

    assert done.exit_code == 0, done.stderr
    (trial,) = opened(file).trials
    assert trial.params.items() >= start.items()
    names = ("model.beta", "training.warm_start.weight")
    weight, where_it_began = (trial.distributions[name] for name in names)
    assert weight == where_it_began


async def test_a_file_is_replaced_as_a_whole_or_stays(
    polar: "Polar", submit: Submit, tmp_path: Path
) -> None:
    study_id = await submit(SPEC)
    file = tmp_path / "study.db"
    file.write_text("something else")
    export: list[Any] = ["study", "export", "--format", "sqlite", "--out"]

    unknown = await polar(*export, file, UUID(int=0))
    kept = file.read_text()
    replaced = await polar(*export, file, study_id)
    nowhere = await polar(*export, tmp_path / "no" / "where.db", study_id)
    to_stdout = await polar("study", "export", "--format", "sqlite", study_id)

    assert (unknown.exit_code, kept) == (2, "something else")
    assert replaced.exit_code == 0
    assert opened(file).trials == []
    assert nowhere.exit_code == 2
    assert "where.db" in nowhere.stderr
    assert to_stdout.exit_code == 2
    assert "--out" in to_stdout.stderr
    assert [name for name in os.listdir(tmp_path) if ".db" in name] == ["study.db"]
