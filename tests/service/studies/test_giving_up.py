"""Studies at which the broker itself fails, again and again."""

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException
from sqlalchemy import text

from service.repetition import MOST_REPETITIONS
from service.storage import runs, studies, study_extensions
from service.storage.states import RunState, StudyState, TrialState
from service.studies import broker
from service.studies.broker import Broker
from service.studies.due import MOST_FAILURES

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "AGAIN_S", 0.0)


async def test_a_study_that_always_fails_is_failed_with_the_reason_and_spares_the_others(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    # Hours that overflowed a date raised an error every 15 s, and the study was running for ever.
    poisoned = await lab.submit(spec_of(sampler_seed=1))  # it shares no run with the other
    healthy = await lab.submit(spec_of())
    await lab.broker.advance_all()
    async with lab.database.transaction() as session:
        await session.execute(
            text("update app.studies set spec = '{}' where id = :id"), {"id": poisoned}
        )

    for _ in range(MOST_REPETITIONS):
        await lab.broker.advance_all()

    study = await lab.study(poisoned)
    assert (study.state, study.status_reason) == (StudyState.FAILED, "broker_fails")
    assert study.status_message is not None
    assert f"failed {MOST_REPETITIONS} times in a row" in study.status_message
    assert {trial.state for trial in await lab.trials(poisoned)} == {TrialState.FAILED}
    async with lab.database.transaction() as session:
        of_trials = await studies.runs_of(
            session, [trial.experiment_id for trial in await lab.trials(poisoned)]
        )
    assert {run.state for of_trial in of_trials.values() for run in of_trial} == {
        RunState.CANCELLED
    }
    assert (await lab.carry_out(healthy)).state is StudyState.COMPLETED


async def test_a_study_of_whose_ends_optuna_cannot_be_told_is_left_alone_after_some_tries(
    lab: "Lab", spec_of: "SpecOf", monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = await lab.submit(spec_of())
    async with lab.database.transaction() as session:
        await studies.cancel(session, study_id)
    tries = 0

    async def fail(*_: Any, **__: Any) -> None:  # noqa: ANN401
        nonlocal tries
        tries += 1
        raise LookupError("Optuna's study is gone")

    monkeypatch.setattr(Broker, "_tell", fail)
    for _ in range(2 * MOST_REPETITIONS):
        await lab.broker.advance_all()

    study = await lab.study(study_id)
    assert tries == MOST_REPETITIONS
    assert (study.state, study.status_reason) == (StudyState.CANCELLED, "user")


async def test_studies_that_cannot_even_be_given_up_spare_the_others(
    lab: "Lab", spec_of: "SpecOf", monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = [await lab.submit(spec_of(sampler_seed=seed)) for seed in (1, 2)]
    healthy = await lab.submit(spec_of())
    async with lab.database.transaction() as session:
        await session.execute(
            text("update app.studies set spec = '[1]' where id = any(:ids)"), {"ids": poisoned}
        )

    async def fail(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise RuntimeError("a bug in giving up")

    with monkeypatch.context() as with_a_bug:
        with_a_bug.setattr(studies, "give_up", fail)
        for _ in range(MOST_REPETITIONS + 1):
            await lab.broker.advance_all()
    await lab.broker.advance_all()

    assert (await lab.carry_out(healthy)).state is StudyState.COMPLETED
    assert {(await lab.study(study_id)).state for study_id in poisoned} == {StudyState.FAILED}


async def test_a_study_that_was_failed_goes_on_once_its_fault_is_mended(
    lab: "Lab", spec_of: "SpecOf", monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = await lab.submit(spec_of())

    async def fail(*_: Any, **__: Any) -> bool:  # noqa: ANN401
        raise RuntimeError("a bug with a NUL \0 and much to say" + "x" * 100_000)

    with monkeypatch.context() as with_a_bug:
        with_a_bug.setattr(Broker, "_begin_one", fail)
        for _ in range(MOST_REPETITIONS):
            await lab.broker.advance_all()
    failed = await lab.study(study_id)
    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, trials=1)
    study = await lab.carry_out(study_id)

    assert failed.status_message is not None
    assert "RuntimeError: a bug" in failed.status_message
    assert f"polar study extend {study_id}" in failed.status_message
    assert len(failed.status_message) < 2000
    assert study.state is StudyState.COMPLETED


@pytest.mark.parametrize(
    "away",
    [
        psycopg.OperationalError("the connection is lost"),
        psycopg.errors.AdminShutdown("terminating connection"),
        psycopg.errors.DiskFull("no space left on device"),
        psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_database_that_is_away_is_not_the_fault_of_a_study(
    lab: "Lab", spec_of: "SpecOf", monkeypatch: pytest.MonkeyPatch, away: Exception
) -> None:
    study_id = await lab.submit(spec_of())

    async def fail(*_: Any, **__: Any) -> bool:  # noqa: ANN401
        raise ConnectorException from away  # as the queue reports it

    with monkeypatch.context() as without_database:
        without_database.setattr(Broker, "_begin_one", fail)
        for _ in range(MOST_REPETITIONS + 1):
            with pytest.raises(ConnectorException):
                await lab.broker.advance_all()

    assert (await lab.study(study_id)).state is StudyState.RUNNING


async def test_what_postgres_will_never_do_is_the_fault_of_the_study(
    lab: "Lab", spec_of: "SpecOf", monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = await lab.submit(spec_of())

    async def fail(*_: Any, **__: Any) -> None:  # noqa: ANN401
        async with lab.database.transaction() as session:
            await session.execute(text("create temporary table of_long_texts (it text unique)"))
            # nothing that could be compressed
            long = "select string_agg(md5(n::text), '') from generate_series(1, 10000) n"
            await session.execute(text(f"insert into of_long_texts {long}"))

    with monkeypatch.context() as with_a_bug:
        with_a_bug.setattr(Broker, "_begin_one", fail)
        for _ in range(MOST_REPETITIONS):
            await lab.broker.advance_all()

    study = await lab.study(study_id)
    assert study.state is StudyState.FAILED
    assert "index row" in (study.status_message or "")


async def test_runs_that_another_experiment_wants_go_on(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(spec_of())
    await lab.broker.advance_all()
    trial = (await lab.trials(study_id))[0]
    shared = await lab.want(spec_of().experiment(trial.point))

    async with lab.database.transaction() as session:
        await session.execute(text("update app.studies set spec = '{}'"))
    for _ in range(MOST_REPETITIONS):
        await lab.broker.advance_all()

    async with lab.database.transaction() as session:
        states = {(await runs.get(session, run_id)).state for run_id in shared}
    assert (await lab.study(study_id)).state is StudyState.FAILED
    assert states == {RunState.QUEUED}


async def test_a_study_whose_objective_is_not_measured_ends_with_the_reason(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    # The broker raised a KeyError at every step, also while the trainings went on.
    one_seed = {"dataset": {"name": "digits"}, "model": {}, "seeds": [0]}
    spec = spec_of(base=one_seed, objectives=["kl"], concurrency=1, budget={"trials": 9})
    study_id = await lab.submit(spec)

    for _ in range(MOST_FAILURES):
        await lab.broker.advance(study_id)
        (run,) = await lab.queued()
        result = lab.result(run, 0.5)
        latents = [latent.model_copy(update={"kl_nats": None}) for latent in result.final.latents]
        final = result.final.model_copy(update={"latents": tuple(latents)})
        await lab.begin(run)
        await lab.hear(run, final.model_copy(update={"step": 1}))
        await lab.broker.advance(study_id)
        await lab.end(run, result.model_copy(update={"final": final}))
    await lab.broker.advance(study_id)

    study = await lab.study(study_id)
    assert (study.state, study.status_reason) == (StudyState.FAILED, "trials_fail")
    assert study.status_message is not None
    assert "asks for kl, which its runs do not measure" in study.status_message
    assert {trial.status_reason for trial in await lab.trials(study_id)} == {"not_measured"}
