"""Which trainings the broker stops, and what it tells of them; agents only pretend."""

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from optuna.trial import TrialState as OptunaState

from polar.records.latents import Regime
from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import ExperimentSpec
from service.storage.states import RunState, StudyState, TrialState
from service.storage.tables import Run
from service.studies.broker import Broker
from tests.polar.known_models import FROM_18

if TYPE_CHECKING:
    from tests.service.conftest import Submitter
    from tests.service.studies.conftest import Lab, SpecOf

TWO_SEEDS = {
    "dataset": {"name": "digits"},
    "model": {},
    "training": {"steps": 100},
    "seeds": [0, 1],
}
ONE_SEED = {**TWO_SEEDS, "seeds": [0]}


async def _begin(lab: "Lab", study_id: UUID) -> list[Run]:
    """The runs that an agent begins next."""
    await lab.broker.advance(study_id)
    queued = await lab.queued()
    await lab.begin(*queued)
    return queued


async def _completed(lab: "Lab", study_id: UUID, trials: int) -> None:
    """Trials that reported 0.9 at step 50, and ended."""
    for _ in range(trials):
        for run in await _begin(lab, study_id):
            await lab.evaluate(run, 50, 0.9)
            await lab.broker.advance(study_id)
            await lab.succeed(run)
        await lab.broker.advance(study_id)


async def test_a_run_that_has_collapsed_is_stopped_and_told_with_that_verdict(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(base=TWO_SEEDS, pruner="collapse", concurrency=1, budget={"trials": 1})
    study_id = await lab.submit(spec)
    first, second = await _begin(lab, study_id)

    await lab.evaluate(first, 50, 0.0, Regime.COLLAPSED)
    await lab.evaluate(second, 50, 0.9)
    await lab.broker.advance(study_id)
    is_asked = [(await lab.run(run.id)).cancel_requested for run in (first, second)]
    await lab.stop(first)
    await lab.succeed(second)
    await lab.broker.advance(study_id)

    (trial,), (told,) = await lab.trials(study_id), lab.optuna_trials(study_id, spec)
    run = await lab.run(first.id)
    assert is_asked == [True, False]
    assert (run.state, run.status_reason) == (RunState.PRUNED, "collapsed")
    assert run.status_message == (
        "the run had collapsed at step 50, after the warm-up of 25% of its steps"
    )
    assert (trial.state, trial.status_reason) == (TrialState.COMPLETED, "collapsed")
    assert isinstance(trial.measured, Measured)
    assert trial.measured.regimes == ("collapsed", "clean")
    assert trial.measured.settled == (True, True)
    assert told.state is OptunaState.COMPLETE
    assert told.values == trial.values
    assert (await lab.study(study_id)).state is StudyState.COMPLETED


@pytest.mark.parametrize("end", ["stopped at once", "stopped later", "never stopped"])
async def test_a_collapse_is_judged_the_same_however_soon_the_run_is_stopped(
    lab: "Lab", spec_of: "SpecOf", end: str
) -> None:
    study_id = await lab.submit(spec_of(base=ONE_SEED, pruner="collapse", concurrency=1))
    (run,) = await _begin(lab, study_id)
    await lab.evaluate(run, 20, 0.2, Regime.COLLAPSED)  # during the warm-up
    await lab.evaluate(run, 50, 0.1, Regime.COLLAPSED)
    if end != "stopped at once":
        await lab.evaluate(run, 80, 0.0, Regime.COLLAPSED)
        await lab.evaluate(run, 90, 0.6, Regime.CLEAN)
    if end == "never stopped":
        ended = lab.result(run, 0.9).model_copy(update={"loss_terms": FROM_18.terms})
        await lab.end(run, ended)
    else:
        await lab.broker.advance(study_id)
        await lab.stop(run)
    await lab.broker.advance(study_id)

    trial = (await lab.trials(study_id))[0]
    assert isinstance(trial.measured, Measured)
    assert trial.measured.regimes == ("collapsed",)
    assert trial.values == [0.1]
    assert trial.status_message == "the run of seed 0 had collapsed at step 50"
    found = (await lab.study(study_id)).range
    assert isinstance(found, StudyRange)
    assert found.certificates is not None
    assert found.certificates.models == 0


@pytest.mark.parametrize("pruner", ["collapse", "none"])
async def test_an_early_collapse_may_recover_and_without_a_pruner_a_late_one(
    lab: "Lab", spec_of: "SpecOf", pruner: str
) -> None:
    study_id = await lab.submit(spec_of(base=ONE_SEED, pruner=pruner, concurrency=1))
    (run,) = await _begin(lab, study_id)

    await lab.evaluate(run, 20, 0.0, Regime.COLLAPSED)
    if pruner == "none":
        await lab.evaluate(run, 90, 0.0, Regime.COLLAPSED)
    await lab.broker.advance(study_id)

    assert not (await lab.run(run.id)).cancel_requested


async def test_a_trial_worse_than_the_median_is_stopped_whichever_broker_hears_of_it(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(base=ONE_SEED, pruner="median", concurrency=1, budget={"trials": 6})
    study_id = await lab.submit(spec)
    await _completed(lab, study_id, 4)
    (bad,) = await _begin(lab, study_id)
    lab.broker = Broker(lab.database, lab.broker._queue, lab.storage)
    await lab.broker.advance(study_id)

    await lab.evaluate(bad, 50, 0.2)
    await lab.broker.advance(study_id)
    await lab.stop(bad)
    study = await lab.carry_out(study_id)

    trial, told = (await lab.trials(study_id))[4], lab.optuna_trials(study_id, spec)[4]
    assert (trial.state, trial.status_reason) == (TrialState.PRUNED, "median")
    assert trial.status_message is not None
    assert "worse than other trials at step 50" in trial.status_message
    assert told.state is OptunaState.PRUNED
    assert told.intermediate_values == {50: 0.2}
    assert (study.state, len(await lab.trials(study_id))) == (StudyState.COMPLETED, 6)


async def test_a_trial_as_good_as_others_goes_on(lab: "Lab", spec_of: "SpecOf") -> None:
    study_id = await lab.submit(
        spec_of(base=ONE_SEED, pruner="median", concurrency=1, budget={"trials": 6})
    )
    await _completed(lab, study_id, 4)
    (run,) = await _begin(lab, study_id)

    await lab.evaluate(run, 50, 0.9)
    await lab.broker.advance(study_id)

    assert not (await lab.run(run.id)).cancel_requested


@pytest.mark.parametrize(("loss", "stopped"), [(1000.0, True), (1.0, False)])
async def test_with_several_objectives_a_trial_is_stopped_when_all_are_worse(
    lab: "Lab", spec_of: "SpecOf", loss: float, stopped: bool
) -> None:
    study_id = await lab.submit(
        spec_of(
            base=ONE_SEED,
            objectives=["clean_polarisation", "reconstruction"],
            pruner="median",
            concurrency=1,
            budget={"trials": 6},
        )
    )
    await _completed(lab, study_id, 4)
    (run,) = await _begin(lab, study_id)

    await lab.evaluate(run, 50, 0.2, reconstruction_nats=loss)
    await lab.broker.advance(study_id)

    assert (await lab.run(run.id)).cancel_requested is stopped


async def test_the_seeds_of_a_trial_are_stopped_together_once_all_have_reported(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    study_id = await lab.submit(
        spec_of(base=TWO_SEEDS, pruner="median", concurrency=1, budget={"trials": 6})
    )
    await _completed(lab, study_id, 4)
    first, second = await _begin(lab, study_id)

    await lab.evaluate(first, 50, 0.2)
    await lab.broker.advance(study_id)
    before = [(await lab.run(run.id)).cancel_requested for run in (first, second)]
    await lab.evaluate(second, 50, 0.3)
    await lab.broker.advance(study_id)
    after = [(await lab.run(run.id)).cancel_requested for run in (first, second)]

    assert (before, after) == ([False, False], [True, True])


async def test_a_run_that_somebody_else_wants_goes_on(
    lab: "Lab", spec_of: "SpecOf", submit: "Submitter"
) -> None:
    study_id = await lab.submit(spec_of(base=ONE_SEED, pruner="collapse", concurrency=1))
    (run,) = await _begin(lab, study_id)
    await submit(ExperimentSpec.model_validate(run.spec))

    await lab.evaluate(run, 50, 0.0, Regime.COLLAPSED)
    await lab.broker.advance(study_id)

    assert not (await lab.run(run.id)).cancel_requested


async def test_optuna_shows_what_trials_in_flight_have_reported(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(base=TWO_SEEDS, concurrency=1)
    study_id = await lab.submit(spec)
    first, second = await _begin(lab, study_id)

    await lab.evaluate(first, 10, 0.2)
    await lab.evaluate(second, 10, 0.4)
    await lab.evaluate(first, 50, 0.6)
    await lab.broker.advance(study_id)
    lab.broker = Broker(lab.database, lab.broker._queue, lab.storage)
    await lab.broker.advance(study_id)

    (told,) = lab.optuna_trials(study_id, spec)
    assert told.intermediate_values == {10: pytest.approx(0.3)}
