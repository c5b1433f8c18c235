"""The same study gives the same trials and the same range, whichever training ends first."""

import hashlib
import itertools
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState as OptunaState

from polar.spec import StudySpec
from service.storage import studies, study_extensions
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Trial
from service.storage.tables import Run
from service.studies.broker import Broker

if TYPE_CHECKING:
    from tests.service.studies.conftest import Lab, SpecOf

ONE_SEED = {"dataset": {"name": "digits"}, "model": {}, "seeds": [0]}
TWO_FIELDS = {
    "model.beta": {"log_uniform": [0.01, 100]},
    "training.learning_rate": {"log_uniform": [1e-4, 1e-2]},
}
GRID = {"model.beta": {"log_uniform": [0.01, 100], "points": 14}}

Ends = Callable[[Run], RunState]


def succeeds(_: Run) -> RunState:
    return RunState.SUCCEEDED


def in_many_ways() -> Ends:
    """Ends of one study: a quarter of all trainings fails, or is cancelled once, by its spec."""
    cancelled = set()

    def ends(run: Run) -> RunState:
        ways = [RunState.FAILED, RunState.CANCELLED, *[RunState.SUCCEEDED] * 6]
        name = f"{run.spec['model']['beta']} {run.seed}"
        way = random.Random(name).choice(ways)
        if way is RunState.CANCELLED and name in cancelled:
            return RunState.SUCCEEDED
        cancelled.add(name)
        return way

    return ends


class Races:
    """Carries studies out whose trainings end in any order; no two of them share a run."""

    def __init__(self, lab: "Lab") -> None:
        self.lab = lab
        self._straight: dict[str, tuple[object, ...]] = {}
        self._digests = (hashlib.sha256(bytes([n])).hexdigest() for n in itertools.count())

    async def carry_out(
        self, spec: StudySpec, draw: random.Random, ends: Ends = succeeds, digest: str = ""
    ) -> UUID:
        study_id = await self.lab.submit(spec, digest or next(self._digests))
        await self.go_on(study_id, draw, ends)
        return study_id

    async def go_on(self, study_id: UUID, draw: random.Random, ends: Ends = succeeds) -> None:
        async def end(run: Run) -> None:
            await self.lab.end_one(run, ends(run))

        await self.lab.carry_out(study_id, end, draw=draw)

    async def straight(self, spec: StudySpec) -> tuple[object, ...]:
        """What a study comes to without any pause or kill, carried out once for each spec."""
        key = spec.model_dump_json()
        if key not in self._straight:
            study_id = await self.carry_out(spec, random.Random(0))
            self._straight[key] = await self.came_to(study_id)
        return self._straight[key]

    async def came_to(self, study_id: UUID) -> tuple[object, ...]:
        """All of a study that must not depend on the order of ends."""
        study = await self.lab.study(study_id)
        trials = [_came_to(trial) for trial in await self.lab.trials(study_id)]
        return (trials, study.range, study.state, study.status_reason, study.status_message)


def _came_to(trial: Trial) -> tuple[object, ...]:
    return (trial.number, trial.point, trial.state, trial.values, trial.measured)


@pytest.fixture
def races(lab: "Lab") -> Races:
    return Races(lab)


@pytest.mark.parametrize(
    "fields",
    [
        {"sampler": "range", "budget": {"trials": 14}},
        {"sampler": "tpe", "budget": {"trials": 16}, "search": TWO_FIELDS},
        {"sampler": "gp", "budget": {"trials": 13}, "search": TWO_FIELDS},
        {"sampler": "random", "budget": {"trials": 10}},
        {"sampler": "grid", "budget": {"trials": 14}, "search": GRID},
        pytest.param(
            {
                "sampler": "nsga2",
                "budget": {"trials": 58},
                "objectives": ["explained", "n_active"],
            },
            marks=pytest.mark.slow,  # its second generation begins after 50 trials
        ),
        {"sampler": "qmc", "budget": {"trials": 10}, "search": TWO_FIELDS},
    ],
    ids=lambda fields: str(fields["sampler"]),
)
async def test_a_study_has_the_same_trials_in_whichever_order_its_trainings_end(
    races: Races, spec_of: "SpecOf", fields: dict[str, Any]
) -> None:
    spec = spec_of(base=ONE_SEED, concurrency=4, **fields)

    first, *others = [
        await races.carry_out(spec, random.Random(seed), in_many_ways()) for seed in range(3)
    ]

    expected = await races.came_to(first)
    states = {trial.state for trial in await races.lab.trials(first)}
    assert states >= {TrialState.COMPLETED, TrialState.FAILED}
    for other in others:
        assert await races.came_to(other) == expected


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), concurrency=st.sampled_from([1, 2, 3, 5, 30]))
async def test_neither_pauses_nor_kills_nor_an_early_extension_change_the_trials(
    races: Races, spec_of: "SpecOf", seed: int, concurrency: int
) -> None:
    spec = spec_of(sampler="tpe", concurrency=concurrency, budget={"trials": 12})
    straight = await races.straight(spec)
    draw, lab = random.Random(seed), races.lab

    few = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": 10})})
    study_id = await lab.submit(few, next(races._digests))
    for _ in range(draw.randint(0, 6)):
        await lab.broker.advance(study_id)
        for run in (waiting := await lab.queued()) and draw.sample(waiting, 1):
            await lab.end_one(run)
        async with lab.database.transaction() as session:
            await studies.pause(session, study_id)
        await lab.broker.advance(study_id)
        async with lab.database.transaction() as session:
            await studies.resume(session, study_id)
        lab.broker = Broker(lab.database, lab.broker._queue, lab.storage)
    async with lab.database.transaction() as session:
        await study_extensions.extend(session, study_id, trials=2)
    await races.go_on(study_id, draw)

    assert await races.came_to(study_id) == straight


async def test_trainings_that_others_have_done_already_change_nothing(
    races: Races, spec_of: "SpecOf"
) -> None:
    spec = spec_of(sampler="tpe", concurrency=4, budget={"trials": 14})
    alone = await races.carry_out(spec, random.Random(1), digest="f" * 64)

    sharing = await races.carry_out(spec, random.Random(2), digest="f" * 64)

    assert await races.came_to(sharing) == await races.came_to(alone)


async def test_a_trial_waits_for_the_trial_that_its_proposal_may_depend_on(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(base=ONE_SEED, concurrency=3, budget={"trials": 9})
    study_id = await lab.submit(spec)
    await lab.broker.advance(study_id)
    first, second, third = await lab.queued()

    await lab.end_one(third)
    await lab.end_one(second)
    await lab.broker.advance(study_id)
    waiting = [trial.state for trial in await lab.trials(study_id)]
    untold = [trial.state for trial in lab.optuna_trials(study_id, spec)]
    await lab.end_one(first)
    await lab.broker.advance(study_id)

    running, completed = TrialState.RUNNING, TrialState.COMPLETED
    assert waiting == [running, completed, completed]
    assert untold == [OptunaState.RUNNING] * 3
    states = [trial.state for trial in await lab.trials(study_id)]
    assert states == [completed] * 3 + [running] * 3
    told = [trial.state for trial in lab.optuna_trials(study_id, spec)]
    assert told == [OptunaState.COMPLETE] * 3 + [OptunaState.RUNNING] * 3


async def test_optuna_is_told_of_all_trials_when_a_study_is_cancelled(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(base=ONE_SEED, concurrency=3, budget={"trials": 9})
    study_id = await lab.submit(spec)
    await lab.broker.advance(study_id)
    first, *others = await lab.queued()
    async with lab.database.transaction() as session:
        await studies.cancel(session, study_id)

    for run in others:
        await lab.end_one(run)
    await lab.end_one(first, RunState.CANCELLED)
    await lab.broker.advance_all()

    told = [trial.state for trial in lab.optuna_trials(study_id, spec)]
    assert told == [OptunaState.FAIL, OptunaState.COMPLETE, OptunaState.COMPLETE]


async def test_optuna_is_told_of_all_trials_when_a_paused_study_is_cancelled_after_their_ends(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    spec = spec_of(base=ONE_SEED, concurrency=3, budget={"trials": 9})
    study_id = await lab.submit(spec)
    await lab.broker.advance(study_id)
    async with lab.database.transaction() as session:
        await studies.pause(session, study_id)
    for run in await lab.queued():
        await lab.end_one(run)
    await lab.broker.advance_all()

    async with lab.database.transaction() as session:
        await studies.cancel(session, study_id)
    await lab.broker.advance_all()

    told = [trial.state for trial in lab.optuna_trials(study_id, spec)]
    assert told == [OptunaState.COMPLETE] * 3
    async with lab.database.transaction() as session:
        assert await studies.unfinished(session) == []


async def test_seeds_that_are_added_early_are_trained_in_the_same_order(
    races: Races, spec_of: "SpecOf"
) -> None:
    spec = spec_of(base=ONE_SEED, concurrency=3, budget={"trials": 6}, sampler="tpe")
    came_to = []

    for seed in range(3):
        study_id = await races.lab.submit(spec, next(races._digests))
        await races.lab.broker.advance(study_id)
        async with races.lab.database.transaction() as session:
            await study_extensions.extend(session, study_id, seeds=[7])
        await races.go_on(study_id, random.Random(seed), in_many_ways())
        came_to.append(await races.came_to(study_id))

    assert came_to[1:] == came_to[:1] * 2


async def test_a_cancelled_point_is_tried_again_before_a_space_counts_as_exhausted(
    races: Races, spec_of: "SpecOf"
) -> None:
    axes = {"model.latent_dim": {"choices": [2, 3, 4]}}
    spec = spec_of(base=ONE_SEED, search=axes, sampler="grid", concurrency=4)
    study_id = await races.lab.submit(spec)
    await races.lab.broker.advance(study_id)
    for run in (await races.lab.queued())[2:]:
        await races.lab.end_one(run, RunState.CANCELLED)

    await races.go_on(study_id, random.Random(0))

    trials = await races.lab.trials(study_id)
    assert (await races.lab.study(study_id)).state is StudyState.COMPLETED
    assert [(trial.point["model.latent_dim"], trial.state.value) for trial in trials] == [
        (2, "completed"),
        (3, "completed"),
        (4, "cancelled"),
        (4, "completed"),
    ]


async def test_a_broker_that_is_started_anew_asks_an_exhausted_sampler_for_no_more_points(
    races: Races, spec_of: "SpecOf"
) -> None:
    # The larger batch is larger than half of the images: one of the four points is impossible.
    axes = {
        "training.batch_size": {"choices": [64, 1000]},
        "training.held_out": {"choices": [0.0, 0.5]},
    }
    lab, spec = races.lab, spec_of(base=ONE_SEED, search=axes, concurrency=4, budget={"trials": 9})
    came_to = []

    for is_started_anew in (False, True):
        study_id = await lab.submit(spec, next(races._digests))
        await lab.broker.advance(study_id)
        if is_started_anew:
            lab.broker = Broker(lab.database, lab.broker._queue, lab.storage)
            await lab.broker.advance(study_id)
        *others, last = await lab.queued()
        await lab.end_one(last, RunState.CANCELLED)
        for run in others:
            await lab.end_one(run)
        await races.go_on(study_id, random.Random(0))
        asked = len(lab.optuna_trials(study_id, spec))
        came_to.append((await races.came_to(study_id), asked))

    (*_, reason, _), _ = came_to[0]
    assert came_to[1] == came_to[0]
    assert reason == "exhausted"
