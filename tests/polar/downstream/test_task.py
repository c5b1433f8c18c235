import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.downstream import Control, Downstream, Gain, Representation, predict_factors
from tests.polar.downstream.tasks import Labelled, run

RAW, STANDARDISED = Representation.RAW, Representation.STANDARDISED
#: Accuracy of the best classifier of the toy: Phi(2) * 0.6 from the first latent alone, and
#: Phi(2) * (0.6 * Phi(2.1014) + 0.4 * Phi(1.8986)) from both, where the boundary of the second is
#: at -0.0507, as its bit is more often 1.
ACCURACY_OF_ACTIVE, ACCURACY_OF_BOTH = 0.5864, 0.9555
#: Four standard errors of an accuracy of 0.6 among 2,000 test images.
SAMPLING = 0.044
#: Images of 2,000 that a tiny logit moves across the boundary.
FLAT = 0.002

few = settings(max_examples=4, deadline=None)  # each fits dozens of models


@pytest.fixture(scope="module")
def toy_task(toy: Labelled) -> Downstream:
    return run(*toy, [1.5, 0.01], sizes={"quarter": 4}, seeds=(0, 1, 2))


def accuracies(task: Downstream, control: Control, representation: Representation) -> np.ndarray:
    """One row a seed, one column a k."""
    table = task.table
    chosen = (table["control"] == control) & (table["representation"] == representation)
    return table[chosen].pivot(index="seed", columns="k", values="accuracy").to_numpy()


def gain(
    task: Downstream,
    control: Control,
    representation: Representation,
    factor: str | None = None,
) -> Gain:
    wanted = (factor, representation, control)
    [found] = [
        gain for gain in task.gains if (gain.factor, gain.representation, gain.control) == wanted
    ]
    return found


def test_raw_a_passive_of_small_scale_adds_nothing(toy_task: Downstream) -> None:
    curve = accuracies(toy_task, Control.NONE, RAW).mean(axis=0)

    assert curve == pytest.approx([ACCURACY_OF_ACTIVE] * 2, abs=SAMPLING)
    assert abs(gain(toy_task, Control.NONE, RAW).mean) <= FLAT


def test_standardised_it_adds_its_whole_bit(toy_task: Downstream) -> None:
    curve = accuracies(toy_task, Control.NONE, STANDARDISED).mean(axis=0)
    found = gain(toy_task, Control.NONE, STANDARDISED)

    assert curve == pytest.approx([ACCURACY_OF_ACTIVE, ACCURACY_OF_BOTH], abs=SAMPLING)
    assert found.mean == pytest.approx(ACCURACY_OF_BOTH - ACCURACY_OF_ACTIVE, abs=SAMPLING)
    assert found.low is not None
    assert found.low > 0


def test_without_a_penalty_raw_and_standardised_are_the_same(toy_task: Downstream) -> None:
    raw = accuracies(toy_task, Control.UNPENALISED, RAW)
    standardised = accuracies(toy_task, Control.UNPENALISED, STANDARDISED)

    np.testing.assert_array_equal(raw, standardised)
    assert raw[:, 1].mean() == pytest.approx(ACCURACY_OF_BOTH, abs=SAMPLING)


@pytest.mark.parametrize("representation", Representation)
def test_shuffled_passives_raise_no_accuracy(
    toy_task: Downstream, representation: Representation
) -> None:
    found = gain(toy_task, Control.SHUFFLED_PASSIVES, representation)

    assert found.low is not None
    assert found.low <= 0
    # noise of a standard error of the paired difference, which is that of few changed images
    assert found.mean <= 0.01


@pytest.mark.parametrize("representation", Representation)
def test_passives_that_tell_something_else_than_the_actives_keep_their_gain(
    toy_task: Downstream, representation: Representation
) -> None:
    residual = gain(toy_task, Control.RESIDUAL_PASSIVES, representation)

    plain = gain(toy_task, Control.NONE, representation)
    assert residual.mean == pytest.approx(plain.mean, abs=FLAT)


def test_passives_that_repeat_the_actives_lose_theirs(
    small: Labelled,
) -> None:
    actives, factors = small
    repeated = np.hstack([actives, 3 + actives @ [[1e-3], [2e-3], [0], [-1e-3]]])

    task = run(repeated, factors, [2, 2, 2, 2, 0.1])

    for representation in Representation:
        curve = accuracies(task, Control.RESIDUAL_PASSIVES, representation)[0]
        assert curve[4] == curve[3]


def test_the_table_has_a_row_for_every_factor_k_representation_control_and_seed(
    small: Labelled,
) -> None:
    mean, factors = small
    two = np.hstack([factors, factors[::-1]])

    task = run(mean, two, [2, 0.1, 1, 0.2], sizes={"b": 3, "a": 3}, seeds=(3, 1))

    assert list(task.table.columns) == [
        "factor",
        "k",
        "representation",
        "control",
        "seed",
        "accuracy",
        "unconverged",
        "n_train",
        "n_test",
    ]
    keys = ["factor", "k", "representation", "control", "seed"]
    assert len(task.table) == len(task.table[keys].drop_duplicates()) == 2 * 4 * 2 * 4 * 2
    assert task.table["accuracy"].between(0, 1).all()
    assert (task.order, task.n_active) == ((0, 2, 3, 1), 2)
    assert (task.n_train, task.n_test) == (100, 40)
    assert set(task.table["n_train"]) == {100}
    assert set(task.table["n_test"]) == {40}
    assert [gain.factor for gain in task.gains] == ["b"] * 8 + ["a"] * 8 + [None] * 8
    assert [baseline.factor for baseline in task.baselines] == ["b", "a"]


def test_a_gain_is_what_the_table_says(small: Labelled) -> None:
    mean, factors = small

    task = run(mean, factors, [2, 1, 0.2, 0.1], seeds=(0, 1, 2))

    curves = accuracies(task, Control.NONE, STANDARDISED)
    differences = curves[:, 3] - curves[:, 1]
    found = gain(task, Control.NONE, STANDARDISED, "class")
    # 4.302653: Student's t with 2 degrees of freedom, at 0.975; 40 test, 100 train images
    half = 4.302653 * np.sqrt(differences.var(ddof=1) * (1 / 3 + 40 / 100))
    assert found.mean == pytest.approx(differences.mean(), abs=1e-12)
    assert found.low == pytest.approx(differences.mean() - half, abs=1e-6)
    assert found.high == pytest.approx(differences.mean() + half, abs=1e-6)


def test_the_mean_over_factors_is_the_mean_of_their_gains(
    small: Labelled,
) -> None:
    mean, factors = small
    two = np.hstack([factors, factors[::-1]])

    task = run(mean, two, [2, 1, 0.2, 0.1], sizes={"a": 3, "b": 3}, seeds=(0, 1))

    of_factors = [gain(task, Control.NONE, RAW, factor).mean for factor in ("a", "b")]
    assert gain(task, Control.NONE, RAW).mean == pytest.approx(np.mean(of_factors), abs=1e-12)


def test_one_split_has_no_interval(small: Labelled) -> None:
    task = run(*small, [2, 1, 0.2, 0.1])

    assert {(gain.low, gain.high) for gain in task.gains} == {(None, None)}


def test_gains_and_baselines_are_json(toy_task: Downstream) -> None:
    records = [dataclasses.asdict(gain) for gain in toy_task.gains]
    records += [dataclasses.asdict(baseline) for baseline in toy_task.baselines]

    assert json.loads(json.dumps(records, allow_nan=False)) == records


def test_the_majority_is_the_part_of_the_commonest_value() -> None:
    rng = np.random.default_rng(0)
    factors = (rng.random((7000, 1)) < 0.8).astype(np.int64)

    task = run(rng.normal(size=(7000, 1)), factors, [2], sizes={"bit": 2})

    # four standard errors among 2,000 test images
    assert task.baselines[0].majority == pytest.approx(0.8, abs=0.036)


def test_the_plateau_of_the_raw_curve_is_at_the_last_latent_that_helps(toy: Labelled) -> None:
    quiet, factors = toy

    curves = [
        run(mean, factors, [1.5, 0.01], sizes={"quarter": 4}) for mean in (quiet, quiet * [1, 1e3])
    ]

    assert [task.baselines[0].plateau_k for task in curves] == [1, 2]


def test_without_passives_there_is_no_gain(small: Labelled) -> None:
    task = run(*small, [2, 1, 1, 1])

    assert (task.gains, task.n_active) == ((), 4)
    np.testing.assert_array_equal(
        accuracies(task, Control.SHUFFLED_PASSIVES, RAW), accuracies(task, Control.NONE, RAW)
    )


def test_without_actives_the_gain_is_over_the_majority(
    small: Labelled,
) -> None:
    task = run(*small, [0.2, 0.1, 0.1, 0.1])

    all_of_them = accuracies(task, Control.NONE, STANDARDISED)[0, 3]
    assert task.n_active == 0
    assert gain(task, Control.NONE, STANDARDISED).mean == pytest.approx(
        all_of_them - task.baselines[0].majority, abs=1e-12
    )


@pytest.mark.parametrize("entropy", [2.0, 0.1])
def test_one_latent_is_enough(small: Labelled, entropy: float) -> None:
    mean, factors = small

    task = run(mean[:, :1], factors, [entropy])

    assert set(task.table["k"]) == {1}
    assert task.unconverged == 0


def test_dead_latents_are_named_and_change_nothing(
    small: Labelled,
) -> None:
    mean, factors = small
    tiny = 1e-9 * mean[:, :1]
    rounding = (1000 + 1e-5 * mean[:, 1:2]).astype(np.float32).astype(np.float64)
    constant = np.ones((140, 1))

    task = run(np.hstack([mean, tiny, rounding, constant]), factors, [2, 2, 1, 1, 0.1, 0.1, 0.1])

    assert task.dead == (4, 5, 6)
    for control in Control:
        for representation in Representation:
            assert len(set(accuracies(task, control, representation)[0, 3:])) == 1


def test_constant_codes_are_worth_the_majority(
    small: Labelled,
) -> None:
    task = run(np.ones((140, 2)), small[1], [2, 0.1])

    assert set(task.table["accuracy"]) == {task.baselines[0].majority}
    assert task.dead == (0, 1)


def test_codes_of_any_scale_converge(small: Labelled) -> None:
    mean, factors = small

    task = run(mean * 1e100, factors, [2, 1, 0.2, 0.1])

    # so large, the penalty is nothing
    np.testing.assert_array_equal(
        accuracies(task, Control.NONE, RAW), accuracies(task, Control.UNPENALISED, RAW)
    )
    assert task.unconverged == 0


def test_torch_codes_in_single_precision_are_taken(
    small: Labelled,
) -> None:
    mean, factors = small
    single = torch.from_numpy(mean).float()

    task = predict_factors(single, factors, {"class": 3}, np.ones(4), n_active=4, seeds=(0,))

    of_numpy = run(single.double().numpy(), factors, [1, 1, 1, 1])
    pd.testing.assert_frame_equal(task.table, of_numpy.table)


def test_the_same_seeds_give_the_same_table_and_leave_the_codes_alone(
    small: Labelled,
) -> None:
    mean, factors = small
    before = mean.copy()

    first = run(mean, factors, [2, 1, 0.2, 0.1])
    second = run(mean, factors, [2, 1, 0.2, 0.1])

    pd.testing.assert_frame_equal(first.table, second.table)
    np.testing.assert_array_equal(mean, before)


@few
@given(st.permutations(range(4)))
def test_the_order_of_the_latents_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(1)
    factors = rng.integers(3, size=(140, 1))
    mean = rng.normal(size=(140, 4)) + factors
    entropies = np.array([2, 1, 0.2, 0.1])

    there = run(mean, factors, entropies.tolist())
    here = run(mean[:, order], factors, entropies[order].tolist())

    pd.testing.assert_frame_equal(there.table, here.table)


@few
@given(
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.lists(st.floats(-100, 100), min_size=4, max_size=4),
)
def test_without_a_penalty_scales_and_shifts_do_not_matter(
    exponents: list[float], shifts: list[float]
) -> None:
    rng = np.random.default_rng(1)
    factors = rng.integers(3, size=(140, 1))
    mean = rng.normal(size=(140, 4)) + factors
    scales = np.power(10.0, exponents)

    there = run(mean, factors, [2, 1, 0.2, 0.1])
    here = run((mean + shifts) * scales, factors, [2, 1, 0.2, 0.1])

    for representation in Representation:
        np.testing.assert_array_equal(
            accuracies(there, Control.UNPENALISED, representation),
            accuracies(here, Control.UNPENALISED, representation),
        )
