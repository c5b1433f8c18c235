"""What a phase diagram shows, gathered from a study and its trials."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.records.latents import Flaw, Regime
from polar.records.ranges import Outcome, SeedOutcome, Snapshot, StudyRange
from polar.records.trials import Measured, Measures
from polar.spec import StudySpec
from polar.spec.course import with_steps
from polar.spec.points import Point
from service.storage.phases import FIGURES, are_there, budgets_of, hysteresis_of, phases_of

FOUND = StudyRange(
    outcome=Outcome.NO_BAND,
    of="clean",
    intervals=(),
    envelope=None,
    by_steps=(),
    settled=None,
    disagreeing=(),
    weights=1,
    trainings=2,
    headline="no band found",
    remarks=(),
    fields=("model.beta",),
    steps=30,
    seeds=(4, 7),
)


def study(model: str = "beta_vae", **axes: Any) -> StudySpec:  # noqa: ANN401
    return StudySpec.model_validate(
        {
            "base": {
                "dataset": {"name": "digits"},
                "model": {"name": model},
                "training": {"steps": 30},
                "seeds": [4, 7],
            },
            "search": {f"model.{name}": axis for name, axis in axes.items()},
            "sampler": "random",
        }
    )


def measured(*ended: tuple[Measures, SeedOutcome]) -> Measured:
    return Measured(
        **MEANS.model_dump(),
        of_seeds=tuple(measures for measures, _ in ended),
        regimes=tuple(outcome.regime for _, outcome in ended),
        settled=tuple(outcome.settled for _, outcome in ended),
        observations=tuple(outcome for _, outcome in ended),
    )


MEANS = Measures(
    clean_polarisation=0.375, polarisation=0.5, explained=0.75, reconstruction=90.0, n_active=0.5
)
CLEAN = (
    MEANS.model_copy(update={"polarisation": 0.9, "explained": 0.8}),
    SeedOutcome(steps=30, regime=Regime.CLEAN, n_active=0, settled=True, weakest_std=0.1),
)
FORMING = (
    MEANS.model_copy(update={"polarisation": 0.1, "explained": 0.7}),
    SeedOutcome(steps=30, regime=Regime.FORMING, flaws=(Flaw.LEAK,), n_active=1, settled=False),
)
SILENT = (MEANS, SeedOutcome(steps=30, regime=Regime.FORMING))
BETA = study(beta={"log_uniform": [0.1, 10.0]})


def test_each_seed_of_each_trial_is_a_training() -> None:
    phases = phases_of(BETA, FOUND, [({"model.beta": 2.0}, measured(CLEAN, FORMING))])

    first, second = phases.trainings
    assert first.model_dump() == {
        "model": "beta_vae",
        "dataset": "digits",
        "field": "model.beta",
        "steps": 30,
        "weight": 2.0,
        "seed": 4,
        "warm_start": None,
        "regime": "clean",
        "flaws": (),
        "n_active": 0,
        "polarisation": 0.9,
        "explained": 0.8,
        "settled": True,
        "trajectory": (),
    }
    assert (second.seed, second.n_active, second.settled) == (7, 1, False)
    assert (second.regime, second.flaws) == ("forming", ("leak",))
    assert (second.polarisation, second.explained) == (0.1, 0.7)
    assert (phases.ends, phases.range) == ((0.1, 10.0), FOUND)


def test_a_seed_of_which_an_earlier_version_kept_too_little_is_left_out() -> None:
    phases = phases_of(BETA, FOUND, [({"model.beta": 2.0}, measured(SILENT, FORMING))])

    assert [training.seed for training in phases.trainings] == [7]


def test_a_trial_from_before_there_were_more_seeds_has_fewer() -> None:
    phases = phases_of(BETA, FOUND, [({"model.beta": 2.0}, measured(CLEAN))])

    assert [training.seed for training in phases.trainings] == [4]


def test_a_training_of_a_range_study_has_its_own_seed_and_steps() -> None:
    point = {"model.beta": 2.0, "seed": 9, "training.steps": 60}
    spec = BETA.model_copy(update={"sampler": "range"})
    means, clean = CLEAN
    longer = (means, clean.model_copy(update={"steps": 60}))

    (training,) = phases_of(spec, FOUND, [(point, measured(longer))]).trainings

    assert (training.weight, training.seed, training.steps) == (2.0, 9, 60)


def test_a_training_from_before_a_study_was_extended_by_steps_has_fewer() -> None:
    longer = BETA.model_copy(update={"base": with_steps(BETA.base, 300)})

    (training,) = phases_of(longer, FOUND, [({"model.beta": 2.0}, measured(CLEAN))]).trainings

    assert training.steps == 30


def went_on(weight: float, steps: int = 30) -> tuple[Point, Measured]:
    point, ended = from_scratch(weight, steps)
    return {**point, "training.warm_start.weight": 2.0}, ended


def from_scratch(weight: float, steps: int = 30) -> tuple[Point, Measured]:
    ended = (CLEAN[0], CLEAN[1].model_copy(update={"steps": steps}))
    return {"model.beta": weight, "seed": 9, "training.steps": steps}, measured(ended)


RANGE = BETA.model_copy(update={"sampler": "range"})


def test_a_phase_diagram_is_of_trainings_from_scratch_and_a_hysteresis_of_all() -> None:
    completed = [from_scratch(2.0), went_on(5.0)]

    phases, hysteresis = phases_of(RANGE, FOUND, completed), hysteresis_of(RANGE, FOUND, completed)

    assert [training.weight for training in phases.trainings] == [2.0]
    assert [(each.weight, each.warm_start) for each in hysteresis.trainings] == [
        (2.0, None),
        (5.0, 2.0),
    ]


def test_of_a_training_that_went_on_for_more_steps_its_end_is_shown() -> None:
    completed = [from_scratch(2.0, 60), from_scratch(2.0), went_on(5.0), went_on(5.0, 60)]

    hysteresis = hysteresis_of(RANGE, FOUND, completed)

    assert [(each.weight, each.steps) for each in hysteresis.trainings] == [(2.0, 60), (5.0, 60)]


def test_without_a_training_from_inside_there_is_no_hysteresis() -> None:
    with pytest.raises(InvalidInput, match=r"no training went on from another; .*held: true"):
        hysteresis_of(RANGE, FOUND, [from_scratch(2.0)])


def test_a_linear_axis_has_no_ends_and_no_range() -> None:
    spec = study(latent_dim={"integer": [2, 16]})

    phases = phases_of(spec, FOUND, [({"model.latent_dim": 8}, measured(CLEAN))])

    assert (phases.ends, phases.range) == (None, None)
    assert [training.weight for training in phases.trainings] == [8.0]


@pytest.mark.parametrize("found", [None, FOUND])
def test_before_a_trial_is_completed_there_is_nothing_to_draw(found: StudyRange | None) -> None:
    with pytest.raises(InvalidInput, match="nothing to draw yet: no trial is completed"):
        phases_of(BETA, found, [])


@pytest.mark.parametrize("ended", [None, measured(SILENT)])
def test_trials_of_an_earlier_version_are_not_drawn_and_are_said_to_be(
    ended: Measured | None,
) -> None:
    with pytest.raises(InvalidInput, match=r"of an earlier version, .*allowed: .* a new study"):
        phases_of(BETA, FOUND, [({"model.beta": 2.0}, ended)])


def test_a_study_of_several_fields_is_refused() -> None:
    spec = study(beta={"log_uniform": [0.1, 10.0]}, latent_dim={"integer": [2, 16]})

    with pytest.raises(InvalidInput, match=r"one swept field; .* model.beta, model.latent_dim$"):
        phases_of(spec, FOUND, [])


def test_a_field_of_names_is_refused() -> None:
    spec = study("ivae", prior_mean={"choices": ["learned", "fixed"]})

    with pytest.raises(InvalidInput, match=r"a field of numbers; model.prior_mean is one of lea"):
        phases_of(spec, FOUND, [])


def passing(weight: float, steps: int, *passed: tuple[int, Regime]) -> tuple[Point, Measured]:
    """A training from scratch that was collapsed at its end, and what it was before."""
    point, _ = from_scratch(weight, steps)
    trajectory = tuple(Snapshot(steps=at, regime=regime) for at, regime in passed)
    ended = SeedOutcome(
        steps=steps, regime=Regime.COLLAPSED, n_active=0, settled=True, trajectory=trajectory
    )
    return point, measured((MEANS, ended))


def test_a_training_from_scratch_has_its_evaluations_and_its_former_ends() -> None:
    shorter = passing(2.0, 30, (8, Regime.UNTRAINED), (16, Regime.CLEAN))
    longer = passing(2.0, 60, (8, Regime.UNTRAINED), (16, Regime.CLEAN), (32, Regime.FORMING))

    (training,) = budgets_of(RANGE, FOUND, [longer, shorter, went_on(5.0)]).trainings

    assert [(at.steps, at.regime) for at in training.snapshots] == [
        (8, Regime.UNTRAINED),
        (16, Regime.CLEAN),
        (30, Regime.COLLAPSED),
        (32, Regime.FORMING),
        (60, Regime.COLLAPSED),
    ]


def test_edges_are_known_by_steps_along_a_logarithmic_axis_with_a_range() -> None:
    linear = study(latent_dim={"integer": [2, 16]})

    with pytest.raises(InvalidInput, match=r"axis of model.latent_dim is linear; allowed: log_un"):
        budgets_of(linear, FOUND, [({"model.latent_dim": 8}, measured(CLEAN))])
    with pytest.raises(InvalidInput, match=r"nothing to draw yet: the study has no range"):
        budgets_of(RANGE, None, [from_scratch(2.0)])


LINEAR = study(latent_dim={"integer": [2, 16]})
NAMES = study("ivae", prior_mean={"choices": ["learned", "fixed"]})
SEVERAL = study(beta={"log_uniform": [0.1, 10.0]}, latent_dim={"integer": [2, 16]})
COMPLETED: list[tuple[Point, Measured | None]] = [
    ({"model.beta": 2.0}, None),
    ({"model.beta": 2.0}, measured(SILENT)),
    ({"model.latent_dim": 8}, measured(CLEAN)),
    from_scratch(2.0),
    went_on(5.0),
]


@given(
    spec=st.sampled_from([BETA, RANGE, LINEAR, NAMES, SEVERAL]),
    found=st.sampled_from([None, FOUND]),
    completed=st.lists(st.sampled_from(COMPLETED), max_size=3),
)
def test_the_figures_that_are_there_are_those_that_can_be_gathered(
    spec: StudySpec, found: StudyRange | None, completed: list[tuple[Point, Measured | None]]
) -> None:
    # without a training from scratch none goes on from its end
    assume(from_scratch(2.0) in completed or went_on(5.0) not in completed)
    there = are_there(spec, found, completed)

    assert list(there) == list(FIGURES)
    for figure, gather in FIGURES.items():
        if there[figure]:
            assert gather(spec, found, completed).trainings
        else:
            with pytest.raises(InvalidInput):
                gather(spec, found, completed)
