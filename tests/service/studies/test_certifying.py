"""The certificates of a study: from its own runs and from those of others on the same problem."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from polar.records.certificates import Standing
from polar.records.ranges import StudyRange
from polar.spec import ExperimentSpec, StudySpec
from service.storage import experiments, studies
from service.storage.database import Database
from service.storage.states import TrialState
from service.storage.study_tables import Trial
from service.studies.certifying import certified, spared

if TYPE_CHECKING:
    from tests.service.conftest import StudyMaker, Trials, Worker

#: Gain over the mean image, divergence and regime of the models trained at beta 18 and at 22.
CLEAN, COLLAPSED = (34.5, 1.233, "clean"), (0.0, 0.0, "collapsed")
EDGES: dict[str, Any] = {
    "left": {"low": None, "high": 18.0, "confidence": None},
    "right": {"low": 18.0, "high": 22.0, "confidence": None},
}
FOUND = StudyRange.model_validate(
    {
        "outcome": "found",
        "of": "clean",
        "steps": 30,
        "seeds": [0],
        "intervals": [EDGES],
        "envelope": EDGES,
        "by_steps": [],
        "settled": True,
        "disagreeing": [],
        "weights": 2,
        "trainings": 2,
        "headline": "not written yet",
        "remarks": [],
        "fields": ["model.beta"],
    }
)


class Lab:
    """A study whose runs end with results that are made up."""

    def __init__(self, database: Database, trials: "Trials", worker: "Worker") -> None:
        self._database, self.trials, self._worker = database, trials, worker

    async def submit(self, spec: dict[str, Any]) -> UUID:
        async with self._database.transaction() as session:
            study = await studies.create(session, StudySpec.model_validate(spec), "d" * 64)
            return study.id

    async def trial(self, study_id: UUID, beta: float, outcome: tuple[float, float, str]) -> Trial:
        trial = await self.trials.begin(study_id, beta=beta)
        await self._worker.solve(trial.experiment_id, *outcome)
        return trial

    async def elsewhere(self, spec: dict[str, Any], outcome: tuple[float, float, str]) -> None:
        """A run that no study asked for."""
        async with self._database.transaction() as session:
            valid = ExperimentSpec.model_validate(spec)
            submitted = await experiments.create(session, valid, "d" * 64)
        await self._worker.solve(submitted.experiment.id, *outcome)

    async def certify(self, study_id: UUID) -> StudyRange:
        async with self._database.transaction() as session:
            study = await studies.get(session, study_id)
            spec = StudySpec.model_validate(study.spec)
            return await certified(session, study, spec, FOUND)

    async def spared(self, study_id: UUID, trials: list[Trial]) -> frozenset[int]:
        """Which of these trials are spared if all that are in flight have collapsed."""
        running = [each.number for each in trials if each.state is TrialState.RUNNING]
        async with self._database.transaction() as session:
            study = await studies.get(session, study_id)
            spec = StudySpec.model_validate(study.spec)
            return await spared(session, study, spec, trials, running)


@pytest.fixture
def lab(database: Database, trials: "Trials", worker: "Worker") -> Lab:
    return Lab(database, trials, worker)


async def test_a_study_claims_no_edge_beyond_which_its_own_model_is_better(
    lab: Lab, study_of: "StudyMaker"
) -> None:
    study_id = await lab.submit(study_of())
    await lab.trial(study_id, 18.0, CLEAN)
    await lab.trial(study_id, 22.0, COLLAPSED)

    found = await lab.certify(study_id)

    assert found.certificates is not None
    assert found.certificates.left is None
    assert found.certificates.right is not None
    assert found.certificates.right.standing is Standing.NOT_OPTIMAL
    assert [refuted.model.weight for refuted in found.certificates.not_optimal] == [22.0]
    # their lines cross at 34.5 / 1.233 = 27.98, and two errors of 0.71 nats are allowed
    assert "a clean solution is the best of 2 known up to 26.83" in found.headline
    assert any("training.weight_warm_up" in remark for remark in found.remarks)


async def test_a_run_that_no_study_asked_for_refutes_an_edge_too(
    lab: Lab, study_of: "StudyMaker"
) -> None:
    study_id = await lab.submit(study_of())
    await lab.trial(study_id, 22.0, COLLAPSED)
    held = {"warm_start": [{"weight": 18.0, "steps": 30}]}
    base = {"dataset": {"name": "digits"}, "model": {"beta": 20.0}, "training": held}

    before = await lab.certify(study_id)
    await lab.elsewhere(base, CLEAN)
    after = await lab.certify(study_id)

    assert before.certificates is not None
    assert before.certificates.not_optimal == ()
    assert after.certificates is not None
    (refuted,) = after.certificates.not_optimal
    assert refuted.better is not None
    assert refuted.better.warm_start == (18.0,)
    assert after.certificates.models == 2


async def test_models_of_another_network_say_nothing(lab: Lab, study_of: "StudyMaker") -> None:
    study_id = await lab.submit(study_of())
    await lab.trial(study_id, 22.0, COLLAPSED)
    other = {"dataset": {"name": "digits"}, "model": {"beta": 18.0, "latent_dim": 3}}

    await lab.elsewhere(other, CLEAN)
    found = await lab.certify(study_id)

    assert found.certificates is not None
    assert found.certificates.models == 1
    assert found.certificates.not_optimal == ()
    assert found.remarks == FOUND.remarks


async def test_fields_that_the_study_fixes_are_part_of_its_problem(
    lab: Lab, study_of: "StudyMaker"
) -> None:
    base = {"dataset": {"name": "digits"}, "model": {"latent_dim": 10}}
    axis = {"model.beta": {"log_uniform": [0.01, 100]}, "model.latent_dim": {"fixed": 3}}
    study_id = await lab.submit(study_of(base=base, search=axis))
    await lab.trial(study_id, 22.0, COLLAPSED)
    others = {"dataset": {"name": "digits"}, "model": {"beta": 18.0, "latent_dim": 10}}

    await lab.elsewhere(others, CLEAN)
    found = await lab.certify(study_id)
    await lab.trial(study_id, 18.0, CLEAN)
    with_its_own = await lab.certify(study_id)

    assert found.certificates is not None
    assert (found.certificates.models, found.certificates.not_optimal) == (1, ())
    assert with_its_own.certificates is not None
    (refuted,) = with_its_own.certificates.not_optimal
    assert refuted.model.weight == 22.0


@pytest.mark.parametrize(
    ("limit", "standing"),
    [
        ({"measure": "kl", "at_most": 1.3}, Standing.NOT_OPTIMAL),
        ({"measure": "kl", "at_most": 1.2}, Standing.UNDECIDED),
        ({"measure": "reconstruction", "at_most": 430.0}, Standing.NOT_OPTIMAL),
        ({"measure": "reconstruction", "at_most": 429.0}, Standing.UNDECIDED),
    ],
)
async def test_a_model_that_breaks_a_limit_of_the_study_is_not_inside_the_band(
    limit: dict[str, Any], standing: Standing, lab: Lab, study_of: "StudyMaker"
) -> None:
    study_id = await lab.submit(study_of(constraints=[limit]))
    await lab.trial(study_id, 18.0, CLEAN)
    await lab.trial(study_id, 22.0, COLLAPSED)

    found = await lab.certify(study_id)

    assert found.certificates is not None
    assert found.certificates.right is not None
    assert found.certificates.right.standing is standing


@pytest.mark.parametrize(
    ("pruner", "reason", "known"),
    [("collapse", "collapsed", 1), ("collapse", None, 2), ("none", "collapsed", 2)],
)
async def test_a_run_that_ended_before_its_pruner_could_stop_it_is_no_model(
    pruner: str,
    reason: str | None,
    known: int,
    lab: Lab,
    study_of: "StudyMaker",
    trials: "Trials",
) -> None:
    study_id = await lab.submit(study_of(pruner=pruner))
    await trials.end(await lab.trial(study_id, 18.0, CLEAN), 0.5)
    collapsed = await lab.trial(study_id, 22.0, COLLAPSED)
    await trials.end(collapsed, 0.0, reason=reason, regimes=["collapsed"])

    found = await lab.certify(study_id)

    assert found.certificates is not None
    assert found.certificates.models == known
    assert len(found.certificates.not_optimal) == known - 1
    assert found.certificates.right is not None
    assert found.certificates.right.standing is Standing.NOT_OPTIMAL


async def test_a_study_of_another_field_than_the_weight_has_no_certificates(
    lab: Lab, study_of: "StudyMaker"
) -> None:
    search = {"training.learning_rate": {"log_uniform": [1e-4, 1e-2]}}
    study_id = await lab.submit(study_of(search=search))

    assert await lab.certify(study_id) is FOUND


async def test_a_collapse_that_a_model_of_a_deciding_trial_refutes_is_trained_on(
    lab: Lab, study_of: "StudyMaker"
) -> None:
    spec = study_of(pruner="collapse", concurrency=1)
    study_id = await lab.submit(spec)
    better = await lab.trial(study_id, 18.0, CLEAN)
    running = [await lab.trials.begin(study_id, beta=beta) for beta in (22.0, 30.0)]

    spared_ = await lab.spared(study_id, [better, *running])
    before = await lab.spared(study_id, running)

    assert spared_ == {running[0].number}  # at 30 total collapse is better
    assert before == frozenset()


async def test_a_collapse_is_not_spared_by_a_trial_that_might_have_ended_later(
    lab: Lab, study_of: "StudyMaker"
) -> None:
    study_id = await lab.submit(study_of(pruner="collapse", concurrency=2))
    better = await lab.trial(study_id, 18.0, CLEAN)
    running = await lab.trials.begin(study_id, beta=22.0)

    assert await lab.spared(study_id, [better, running]) == frozenset()
