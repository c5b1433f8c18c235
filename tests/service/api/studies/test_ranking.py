"""Fronts, against their definition."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from polar.spec import StudySpec
from service.api.studies.ranking import best, front
from service.storage.states import TrialState
from service.storage.study_tables import Trial

#: More of the first, less of the others.
OBJECTIVES = ["polarisation", "reconstruction", "kl"]

values = st.integers(0, 3).map(float)


def spec_of(objectives: list[str]) -> StudySpec:
    return StudySpec.model_validate(
        {
            "base": {"dataset": {"name": "digits"}, "model": {}},
            "search": {"model.beta": {"choices": [1, 2]}},
            "objectives": objectives,
            "sampler": "random",
        }
    )


def completed(number: int, *values: float) -> Trial:
    return Trial(
        study_id=uuid4(),
        number=number,
        state=TrialState.COMPLETED,
        values=list(values),
    )


@given(points=st.lists(st.tuples(values, values, values), max_size=12))
def test_the_front_is_every_trial_that_no_other_one_dominates(
    points: list[tuple[float, float, float]],
) -> None:
    trials = [completed(number, *point) for number, point in enumerate(points)]

    found = [trial.number for trial in front(spec_of(OBJECTIVES), trials)]

    def dominates(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
        return a != b and a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]

    assert found == [
        number
        for number, point in enumerate(points)
        if not any(dominates(other, point) for other in points)
    ]


@given(points=st.lists(values, min_size=1, max_size=8))
def test_the_best_trial_is_the_first_of_the_front_of_one_objective(points: list[float]) -> None:
    trials = [completed(number, point) for number, point in enumerate(points)]
    spec = spec_of(["polarisation"])

    found = best(spec, trials)

    assert found is front(spec, trials)[0]
    assert found.values == [max(points)]


def test_there_is_no_best_of_no_trials() -> None:
    assert best(spec_of(["polarisation"]), []) is None
    assert front(spec_of(OBJECTIVES), []) == []
