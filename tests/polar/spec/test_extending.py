"""Studies that are extended: their trainings go on, of the same course, for more steps."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.spec import StudySpec
from polar.spec.course import course, warm_up_steps
from polar.spec.extending import extended, with_longer_trainings

BETA = {"model.beta": {"log_uniform": [0.01, 100]}}


def study(
    sampler: str = "range",
    training: dict[str, Any] | None = None,
    **fields: Any,  # noqa: ANN401
) -> StudySpec:
    base = {
        "dataset": {"name": "digits"},
        "model": {},
        "training": {"steps": 2000, **(training or {})},
        "seeds": [0, 1],
    }
    return StudySpec.model_validate({"base": base, "search": BETA, "sampler": sampler, **fields})


@pytest.mark.parametrize("sampler", ["range", "tpe"])
def test_all_trainings_of_a_study_are_longer(sampler: str) -> None:
    assert with_longer_trainings(study(sampler), 3000) == study(sampler, {"steps": 3000})


def test_a_range_is_searched_with_longer_trainings_alone() -> None:
    longer = with_longer_trainings(study(range={"max_steps": 8000}), 9000)

    assert longer == study(training={"steps": 9000})


def test_trainings_that_end_when_they_have_settled_still_do() -> None:
    longer = with_longer_trainings(study(training={"until": "settled"}), 3000)

    assert (longer.base.training.steps, longer.base.training.until) == (3000, "settled")


def test_a_study_can_be_extended_again_and_again() -> None:
    twice = with_longer_trainings(with_longer_trainings(study(), 4000), 16_000)

    assert twice == with_longer_trainings(study(), 16_000)


def test_an_extended_study_has_its_seeds_and_its_steps() -> None:
    assert extended(study(), [0, 1, 7], None).base.seeds == (0, 1, 7)
    assert extended(study("tpe"), [0, 7], 3000) == with_longer_trainings(
        study("tpe"), 3000
    ).with_seeds([0, 7])


@pytest.mark.parametrize(
    ("fields", "steps", "words"),
    [
        ({}, 2000, "steps is 2000; allowed: more than 2000"),
        ({"range": {"max_steps": 8000}}, 4000, "steps is 4000; allowed: more than 8000"),
        ({}, 10**8, "an integer from 1 to 10000000"),
        ({"sampler": "tpe"}, 1999, "allowed: more than 2000"),
        (
            {"sampler": "tpe", "search": {"training.steps": {"integer": [10, 20]}}},
            30,
            "it searches training.steps",
        ),
    ],
)
def test_what_is_no_longer_training_is_refused(
    fields: dict[str, Any], steps: int, words: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        with_longer_trainings(study(**fields), steps)

    assert words in str(error.value)


@settings(deadline=None)
@given(
    steps=st.integers(1, 5000),
    doublings=st.integers(1, 4),
    fraction=st.floats(0.001, 1),
    scale=st.sampled_from(["linear", "logarithmic"]),
    until=st.sampled_from(["steps", "settled"]),
)
def test_the_longer_trainings_of_a_range_are_of_the_course_of_the_shorter(
    steps: int, doublings: int, fraction: float, scale: str, until: str
) -> None:
    # The weight rose over a share of the steps, so that longer trainings began from scratch.
    warm_up = {"fraction": fraction, "scale": scale}
    training = {"steps": steps, "weight_warm_up": warm_up, "until": until}
    spec = study(training=training, range={"max_steps": steps * 2**doublings})
    points = [
        {"model.beta": 4.0, "seed": 1, "training.steps": steps * 2**n}
        for n in range(doublings + 1)
    ]

    first, *others = map(spec.experiment, points)

    assert first.training == spec.base.training
    for point, other in zip(points[1:], others, strict=True):
        assert other.training.steps == point["training.steps"]
        assert other.training.until == until
        assert warm_up_steps(other.training) == warm_up_steps(first.training)
        assert course(other) == course(first)


@pytest.mark.parametrize("sampler", ["range", "tpe"])
def test_the_trainings_of_an_extended_study_go_on_from_its_old_ones(sampler: str) -> None:
    short = study(sampler, {"weight_warm_up": {"fraction": 0.5}})
    longer = with_longer_trainings(short, 5000)
    point = {"model.beta": 4.0}

    before, after = (each.experiment(point).for_seed(0) for each in (short, longer))

    assert (before.training.steps, after.training.steps) == (2000, 5000)
    assert course(after) == course(before)
    if sampler == "range":
        again = longer.experiment({**point, "seed": 0, "training.steps": 2000})
        assert again.content_hash() == before.content_hash()
