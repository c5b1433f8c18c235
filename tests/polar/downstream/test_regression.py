import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from polar.downstream import Control, Representation, regression
from polar.downstream.regression import TrainTestSplit, curves, is_alive, train_test_split

Labelled = tuple[np.ndarray, np.ndarray]


def accuracies(
    toy: Labelled,
    drawn: TrainTestSplit,
    control: Control,
    representation: Representation,
) -> list[float]:
    mean, factors = toy
    found = {
        (curve.control, curve.representation): [fit.accuracy for fit in curve.fits.values()]
        for curve in curves(mean, 1, factors[:, 0], drawn, [1, 2])
    }
    return found[control, representation]


@given(st.integers(2, 20_000), st.integers(0, 2**32 - 1))
def test_train_and_test_images_are_apart(n: int, seed: int) -> None:
    drawn = train_test_split(n, seed)

    train, test = set(drawn.train.tolist()), set(drawn.test.tolist())
    assert train
    assert test
    assert not train & test
    assert train | test <= set(range(n))
    assert len(train) == min(5000, n - len(test))
    assert sorted(drawn.donors.tolist()) == list(range(n))


@pytest.mark.parametrize(
    ("n", "sizes"), [(10_000, (5000, 2000)), (7000, (5000, 2000)), (140, (100, 40)), (2, (1, 1))]
)
def test_few_images_are_split_in_the_same_proportion(n: int, sizes: tuple[int, int]) -> None:
    drawn = train_test_split(n, 0)

    assert (len(drawn.train), len(drawn.test)) == sizes


@pytest.mark.parametrize("representation", Representation)
@pytest.mark.parametrize(("control", "c"), [(Control.NONE, 1.0), (Control.UNPENALISED, np.inf)])
def test_the_fits_are_those_of_their_definition(
    toy: Labelled,
    representation: Representation,
    control: Control,
    c: float,
) -> None:
    drawn = train_test_split(7000, 0)
    mean, factors = toy
    train, test = mean[drawn.train], mean[drawn.test]
    unit = train.std(axis=0) if representation is Representation.STANDARDISED else 1.0
    # another solver, from zero, in the very units, neither centred nor made orthonormal
    model = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-10)
    model.fit(train / unit, factors[drawn.train, 0])
    expected = model.score(test / unit, factors[drawn.test, 0])

    found = accuracies(toy, drawn, control, representation)

    assert found[1] == pytest.approx(expected, abs=1 / 2000)  # one image at the boundary


def test_shuffling_keeps_the_actives_and_moves_the_passives(
    toy: Labelled,
) -> None:
    drawn = train_test_split(7000, 0)

    shuffled = accuracies(toy, drawn, Control.SHUFFLED_PASSIVES, Representation.STANDARDISED)

    plain = accuracies(toy, drawn, Control.NONE, Representation.STANDARDISED)
    assert shuffled[0] == plain[0]
    assert shuffled[1] < plain[1] - 0.3


def test_residual_passives_have_nothing_left_of_the_actives() -> None:
    # The passive is the active, a hundred times smaller, and a little of the class: what is left
    # of it is the class alone, which the sum of both does not show.
    rng = np.random.default_rng(0)
    classes = rng.integers(2, size=7000)
    active = rng.normal(size=7000)
    passive = 0.01 * active + 1e-4 * (2 * classes - 1)
    mean = np.stack([active, passive], axis=1)

    found = {
        (curve.control, curve.representation): curve.fits[2].accuracy
        for curve in curves(mean, 1, classes, train_test_split(7000, 0), [2])
    }

    # raw, the penalty hides what standardising the residual shows
    assert found[Control.RESIDUAL_PASSIVES, Representation.STANDARDISED] == 1.0
    assert found[Control.NONE, Representation.RAW] < 0.6


def test_a_fit_that_does_not_converge_is_recorded_and_warns_nobody(
    toy: Labelled,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(regression, "MOST_ITERATIONS", 1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = list(curves(toy[0], 1, toy[1][:, 0], train_test_split(7000, 0), [1, 2]))

    assert not caught
    assert all(fit.unconverged for curve in found for fit in curve.fits.values())


def test_other_warnings_are_passed_on(
    toy: Labelled,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit = LogisticRegression.fit

    def ageing_fit(model: LogisticRegression, x: np.ndarray, y: np.ndarray) -> LogisticRegression:
        warnings.warn("an argument will go", FutureWarning, stacklevel=1)
        return fit(model, x, y)

    monkeypatch.setattr(LogisticRegression, "fit", ageing_fit)

    with pytest.warns(FutureWarning, match="an argument will go"):
        found = list(curves(toy[0], 1, toy[1][:, 0], train_test_split(7000, 0), [1]))

    assert not any(curve.fits[1].unconverged for curve in found)


def test_alive_is_what_varies_by_more_than_rounding() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=1000)
    codes = np.stack(
        [noise, 2e-6 * noise, 0.5e-6 * noise, 1 + 1e-6 * noise, 100 + 1e-5 * noise, noise * 0],
        axis=1,
    )

    alive = is_alive(codes)

    # 1 + 1e-6 is above the rounding of 1, 1.2e-7, but not above a millionth of the largest
    assert (
        alive.tolist() == [True, True, False, codes[:, 3].std() > 1e-6 * noise.std()] + [False] * 2
    )


def test_of_latents_that_are_all_constant_none_is_alive() -> None:
    assert not is_alive(np.ones((5, 3))).any()
