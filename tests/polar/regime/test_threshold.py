import math
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from polar.entropy import gaussian_entropy, renyi_entropy
from polar.errors import InvalidInput
from polar.regime.threshold import (
    GROUP_RULES,
    MIXTURE_VARIANCE,
    SETS_OF_DRAWS,
    Cut,
    GroupRule,
    fixed_cut,
    group_cut,
    tau_in_nats,
)
from polar.spec.training import DEFAULT_TAU_STD

CLEAR = [0.01, 0.02, 0.015, 1.5, 1.6, 1.7]
unhurried = settings(deadline=None)  # other processes may have the machine


def cut(rule: GroupRule, entropies: Sequence[float]) -> Cut:
    return group_cut(rule, entropies, sigma=0.5, renyi_alpha=1.01)


@pytest.mark.parametrize("rule", GROUP_RULES)
def test_tau_lies_between_two_clear_groups(rule: GroupRule) -> None:
    tau = cut(rule, CLEAR).tau_nats

    assert tau is not None
    assert 0.02 < tau < 1.5


def test_the_gap_and_the_best_split_are_cut_in_their_middle() -> None:
    assert cut("gap", CLEAR) == Cut(
        0.76, "Tau is the middle of the largest gap, from 0.02 to 1.5 nats."
    )
    assert cut("otsu", CLEAR).tau_nats == 0.76


@pytest.mark.parametrize("rule", GROUP_RULES)
@pytest.mark.parametrize(
    "entropies",
    [[1.0, 1.02, 0.95, 0.98, 1.04], [0.0, 0.05, 0.1], [0.7] * 5, [0.0], [1.7], [0.0] * 16],
)
def test_entropies_within_a_tenth_of_a_nat_are_no_regime(
    rule: GroupRule, entropies: list[float]
) -> None:
    found = cut(rule, entropies)

    assert found.tau_nats is None
    assert found.reason.startswith("No regime: all entropies lie within")


@pytest.mark.parametrize("rule", GROUP_RULES)
def test_two_kinds_of_active_latents_are_no_regime(rule: GroupRule) -> None:
    found = cut(rule, [1.2, 1.21, 1.22, 1.23, 1.5, 1.51, 1.52, 1.53])

    assert found.tau_nats is None
    assert "not apart by a factor 3" in found.reason


def test_a_gap_that_is_not_alone_is_no_regime() -> None:
    found = cut("gap", [0.0, 0.6, 1.5])

    assert found == Cut(
        None,
        "No regime: the largest gap, from 0.6 to 1.5 nats, is 1.50 times the second, not 3.",
    )


def test_even_entropies_have_no_best_split_worth_its_name() -> None:
    found = cut("otsu", np.linspace(0, 1.7, 32).tolist())

    assert found.tau_nats is None
    assert "75.1 % of the variance between the groups, not 85 %" in found.reason


def test_one_bell_is_one_gaussian() -> None:
    rng = np.random.default_rng(0)

    found = cut("mixture", (1 + 0.2 * rng.normal(size=64)).tolist())

    assert found.tau_nats is None
    assert "of two Gaussians" in found.reason


def test_the_mixture_is_the_one_that_scikit_learn_finds() -> None:
    rng = np.random.default_rng(0)
    entropies = np.concatenate([rng.uniform(0, 0.4, 24), rng.uniform(1.0, 1.8, 8)])
    peer = GaussianMixture(2, reg_covar=MIXTURE_VARIANCE, tol=1e-9, max_iter=5000, random_state=0)
    peer.fit(entropies[:, None])
    tau = cut("mixture", entropies.tolist()).tau_nats

    assert tau is not None
    # both are as likely at tau; the two stop within their tolerances
    assert peer.predict_proba([[tau]])[0] == pytest.approx([0.5, 0.5], abs=1e-3)


@pytest.mark.parametrize("rule", GROUP_RULES)
def test_two_latents_can_be_two_groups(rule: GroupRule) -> None:
    assert cut(rule, [0.0, 1.5]).tau_nats == pytest.approx(0.75)  # by symmetry


@pytest.mark.parametrize("rule", GROUP_RULES)
def test_stragglers_between_the_groups_are_left_to_the_rules(rule: GroupRule) -> None:
    entropies = [*np.linspace(0, 0.1, 8), 0.4, 0.9, *np.linspace(1.5, 1.7, 8)]

    tau = cut(rule, entropies).tau_nats

    assert (tau is None) == (rule == "gap")


@unhurried
@given(entropies=st.lists(st.floats(0, 6), min_size=1, max_size=12), data=st.data())
def test_the_order_of_the_latents_does_not_matter(
    entropies: list[float], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(entropies))

    for rule in GROUP_RULES:
        assert cut(rule, entropies) == cut(rule, shuffled)


@unhurried
@given(entropies=st.lists(st.floats(0, 6), min_size=1, max_size=12))
def test_a_rule_that_finds_tau_leaves_latents_on_both_sides(entropies: list[float]) -> None:
    for rule in GROUP_RULES:
        tau = cut(rule, entropies).tau_nats
        if tau is not None:
            assert min(entropies) <= tau < max(entropies)


@pytest.mark.parametrize("rule", GROUP_RULES)
@pytest.mark.parametrize("entropies", [[], [0.1, math.nan], [0.1, math.inf], [-0.1, 1.0]])
def test_entropies_out_of_range_are_refused(rule: GroupRule, entropies: list[float]) -> None:
    with pytest.raises(InvalidInput, match="allowed: at least one, all finite and at least 0"):
        cut(rule, entropies)


def test_the_fixed_tau_is_said_with_its_std() -> None:
    assert fixed_cut(0.134, 0.248) == Cut(
        0.248, "Tau is 0.248 nats, the entropy of a Gaussian of std 0.134."
    )


def tau_of(tau_std: float, n: int = 1000, sigma: float = 0.5, renyi_alpha: float = 1.01) -> float:
    return tau_in_nats(tau_std, n=n, sigma=sigma, renyi_alpha=renyi_alpha)


@pytest.mark.parametrize("alpha", [1.0, 1.01, 2.0])
@pytest.mark.parametrize("std", [0.02, 0.134, 1.0, 3.0])
def test_tau_is_the_entropy_of_a_gaussian_of_many_images(std: float, alpha: float) -> None:
    tau = tau_of(std, n=10_000, renyi_alpha=alpha)

    # The draws of 10,000 images lack the outermost tails.
    assert tau == pytest.approx(gaussian_entropy(std, alpha=alpha), rel=0.01)


def test_the_default_tau_is_a_quarter_of_a_nat() -> None:
    assert tau_of(DEFAULT_TAU_STD) == pytest.approx(0.25, abs=0.005)


def test_tau_grows_with_its_std_and_with_the_images() -> None:
    by_std = [tau_of(std) for std in (0.0, 1e-3, 0.01, 0.1, 1.0, 10.0, 1e100)]
    by_n = [tau_of(2.0, n=n) for n in (1, 2, 10, 100, 1000)]

    assert by_std == sorted(by_std)
    assert by_n == sorted(by_n)
    assert by_std[0] == by_n[0] == 0
    # Draws of 1e100 are all alone.
    assert by_std[-1] == pytest.approx(math.log(1000), abs=1e-6)  # promised by the estimator


def test_tau_knows_the_ratio_of_std_and_width_alone() -> None:
    assert tau_of(4 * 0.134, sigma=2.0) == pytest.approx(tau_of(0.134), abs=2e-6)  # 1e-6 each


@pytest.mark.parametrize("alpha", [1.0, 1.01, 2.0])
@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("n", [50, 500, 5000])
def test_labels_of_gaussian_latents_depend_on_neither_width_nor_order_nor_number(
    n: int, sigma: float, alpha: float
) -> None:
    draws = np.random.default_rng(1).standard_normal((n, 12))
    draws /= draws.std(axis=0)
    nearest = 1 + 3 / math.sqrt(n)  # four errors of the std of n draws
    factors = nearest ** np.array([-6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6])

    nats = renyi_entropy(0.134 * factors * draws, sigma=sigma, alpha=alpha).nats

    assert (nats > tau_of(0.134, n, sigma, alpha)).tolist() == (factors > 1).tolist()


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.5, 5.0])
@pytest.mark.parametrize("alpha", [1.01, 2.0])
def test_other_sets_of_draws_move_tau_by_less_than_a_hundredth(sigma: float, alpha: float) -> None:
    draws = np.random.default_rng(1).standard_normal((100, 200))
    draws = (draws - draws.mean(axis=0)) / draws.std(axis=0)

    sets = renyi_entropy(0.134 * draws, sigma=sigma, alpha=alpha).nats

    spread = sets.std() / math.sqrt(SETS_OF_DRAWS)
    assert spread < 0.01 * sets.mean()
    # four times the spread of ours, with that of the 25 times as many sets here
    assert abs(tau_of(0.134, 100, sigma, alpha) - sets.mean()) < 4 * spread


@pytest.mark.parametrize("tau_std", [-0.1, math.nan, math.inf, 1e101])
def test_a_tau_out_of_range_is_refused(tau_std: float) -> None:
    with pytest.raises(
        InvalidInput, match=re.escape(f"tau_std is {tau_std}; allowed: 0 to 1e+100")
    ):
        tau_of(tau_std)
