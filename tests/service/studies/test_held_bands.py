"""Studies that ask how far their band is held; agents only pretend, and know hysteresis."""

import hashlib
import itertools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from optuna.storages import InMemoryStorage

from polar.records.events import LAST_STATE_FILE, ArtifactSaved
from polar.records.latents import Regime
from polar.records.ranges import StudyRange
from polar.spec import StudySpec
from polar.spec.points import SEED, STEPS, WARM_START
from polar.spec.study_parts import Budget
from service.storage import studies, study_extensions
from service.storage.last_states import last_states_for
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Run
from service.studies.broker import Broker

if TYPE_CHECKING:
    from tests.service.conftest import Worker
    from tests.service.studies.conftest import Lab, SpecOf

BASE = {"dataset": {"name": "digits"}, "model": {}, "seeds": [7]}
#: The band from scratch, and the band that is held.
EDGES, HELD_EDGES = (0.7, 3.0), (0.4, 6.0)
#: Trials after which edges of both kinds are known, and after which some trainings have gone on.
TRIALS, FEW = 34, 22


@pytest.fixture
def spec(spec_of: "SpecOf") -> StudySpec:
    return spec_of(
        base=BASE,
        search={"model.beta": {"log_uniform": [0.2, 10]}},
        sampler="range",
        range={"held": True},
        concurrency=3,
        budget={"trials": FEW},
    )


class Agents:
    """Train what is queued, in any order; no two studies share a run."""

    def __init__(self, lab: "Lab", worker: "Worker") -> None:
        self.lab, self._worker = lab, worker
        self._digests = (hashlib.sha256(bytes([n])).hexdigest() for n in itertools.count())

    async def submit(self, spec: StudySpec) -> UUID:
        return await self.lab.submit(spec, next(self._digests))

    async def carry_out(
        self, study_id: UUID, draw: random.Random, fails: Callable[[Run], bool] = lambda _: False
    ) -> Study:
        async def end(run: Run) -> None:
            await self.lab.begin(run)
            if fails(run):
                await self._worker.finish(run.id, RunState.FAILED)
            else:
                await self._succeed(run)

        return await self.lab.carry_out(study_id, end, draw=draw)

    async def _succeed(self, run: Run) -> None:
        made = self.lab.result(run, 0.9)
        verdict = made.final.verdict.model_copy(update={"regime": regime_of(run)})
        final = made.final.model_copy(update={"verdict": verdict})
        path = f"runs/{run.id}/{LAST_STATE_FILE}"
        await self._worker.record(run.id, ArtifactSaved(name=LAST_STATE_FILE, path=path))
        steps = run.spec["training"]["steps"]
        await self.lab.end(run, made.model_copy(update={"final": final, "steps": steps}))


def regime_of(run: Run) -> Regime:
    left, right = HELD_EDGES if run.spec["training"]["warm_start"] else EDGES
    if run.spec["model"]["beta"] > right:
        return Regime.COLLAPSED
    is_inside = run.spec["model"]["beta"] > left
    return Regime.CLEAN if is_inside else Regime.UNDER_REGULARISED


@pytest.fixture
def agents(lab: "Lab", worker: "Worker") -> Agents:
    return Agents(lab, worker)


def sometimes(run: Run) -> bool:
    """A training fails or not by its spec alone."""
    return random.Random(f"{run.spec['model']['beta']} {run.seed}").random() < 0.3


def came_to(study: Study, trials: list[Trial]) -> tuple[Any, ...]:
    """All of a study that must not depend on the order of ends."""
    ended = [(each.number, each.point, each.state, each.measured) for each in trials]
    return (ended, study.range, study.state, study.status_reason)


def those_held(trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if WARM_START in trial.point]


async def test_a_study_finds_how_far_its_band_is_held(agents: Agents, spec: StudySpec) -> None:
    more = spec.model_copy(update={"budget": Budget(trials=TRIALS)})
    study_id = await agents.submit(more)

    study = await agents.carry_out(study_id, random.Random(0))

    trials = await agents.lab.trials(study_id)
    assert isinstance(study.range, StudyRange)
    assert study.range.held is not None
    assert study.range.envelope is not None
    for band, truth in ((study.range.envelope, EDGES), (study.range.held, HELD_EDGES)):
        for edge, place in zip((band.left, band.right), truth, strict=True):
            assert edge.low is not None
            assert edge.high is not None
            assert edge.low <= place <= edge.high
    assert "held from inside down to 0." in study.range.headline
    assert len(those_held(trials)) >= 8
    for trial in trials:
        (run,) = await agents.lab.runs_of(trial)
        stages = run.spec["training"]["warm_start"]
        if WARM_START in trial.point:
            donor = {"weight": trial.point[WARM_START], "steps": trial.point[STEPS]}
            assert stages == [donor]
            assert run.seed == trial.point[SEED]
        else:
            assert stages == []


async def test_a_training_that_goes_on_is_offered_the_last_state_of_its_donor_first(
    agents: Agents, spec: StudySpec
) -> None:
    study_id = await agents.submit(spec)
    await agents.carry_out(study_id, random.Random(0))

    trials = await agents.lab.trials(study_id)
    donors = {
        (trial.point["model.beta"], trial.point[SEED]): trial
        for trial in trials
        if WARM_START not in trial.point
    }
    held = those_held(trials)
    assert held
    for trial in held:
        (donor,) = await agents.lab.runs_of(donors[trial.point[WARM_START], trial.point[SEED]])
        (run,) = await agents.lab.runs_of(trial)
        async with agents.lab.database.transaction() as session:
            # its own last state comes first, because this run has ended
            offered = (await last_states_for(session, run))[1:]
        assert offered == [f"runs/{donor.id}/{LAST_STATE_FILE}"]


async def test_the_order_of_ends_changes_nothing(agents: Agents, spec: StudySpec) -> None:
    all_came_to = []
    for seed in range(2):
        study_id = await agents.submit(spec)
        study = await agents.carry_out(study_id, random.Random(seed), sometimes)
        all_came_to.append(came_to(study, await agents.lab.trials(study_id)))

    trials, _, state, _ = all_came_to[0]
    assert all_came_to[1:] == all_came_to[:1]
    assert state is StudyState.COMPLETED
    assert {each_state for _, _, each_state, _ in trials} >= {
        TrialState.COMPLETED,
        TrialState.FAILED,
    }
    assert any(WARM_START in point for _, point, _, _ in trials)


class Killed(BaseException):
    """The broker's process is gone."""


@pytest.mark.parametrize("moment", ["set_trial_param", "begin_trial"])
async def test_a_broker_that_is_killed_keeps_the_points_of_trials_that_it_had_asked_for(
    agents: Agents, spec: StudySpec, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    straight = await agents.submit(spec)
    study = await agents.carry_out(straight, random.Random(0))
    expected = came_to(study, await agents.lab.trials(straight))
    study_id, lab, kills = await agents.submit(spec), agents.lab, 0

    while True:
        with monkeypatch.context() as patch:
            _die_while_a_training_goes_on(patch, moment, kills)
            try:
                study = await agents.carry_out(study_id, random.Random(kills))
                break
            except Killed:
                lab.broker, kills = Broker(lab.database, lab.broker._queue, lab.storage), kills + 1

    assert kills > 2
    assert came_to(study, await lab.trials(study_id)) == expected


def _die_while_a_training_goes_on(patch: pytest.MonkeyPatch, moment: str, kills: int) -> None:
    """Lets so many trainings begin that go on from another, and kills the broker at the next."""
    place: object = InMemoryStorage if moment == "set_trial_param" else studies
    function, seen = getattr(place, moment), iter(range(kills))

    def mortal(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        goes_on = WARM_START in (*arguments, *named.get("point", ()))
        if goes_on and next(seen, None) is None:
            raise Killed
        return function(*arguments, **named)

    patch.setattr(place, moment, mortal)


async def test_a_training_that_goes_on_and_failed_can_be_tried_again(
    agents: Agents, spec: StudySpec
) -> None:
    failed: set[tuple[float, int]] = set()

    def once(run: Run) -> bool:
        key = (run.spec["model"]["beta"], run.seed)
        is_first = bool(run.spec["training"]["warm_start"]) and not failed
        failed.update({key} if is_first else ())
        return is_first

    study_id = await agents.submit(spec)
    await agents.carry_out(study_id, random.Random(0), once)
    (lost,) = [
        trial for trial in await agents.lab.trials(study_id) if trial.state is TrialState.FAILED
    ]

    async with agents.lab.database.transaction() as session:
        await study_extensions.retry_failed(session, study_id)
    await agents.carry_out(study_id, random.Random(0))

    again = (await agents.lab.trials(study_id))[-1]
    assert WARM_START in lost.point
    assert (again.point, again.state) == (lost.point, TrialState.COMPLETED)
