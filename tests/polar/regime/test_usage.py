import math
from collections.abc import Sequence

import numpy as np
import pytest

from polar.errors import InvalidInput
from polar.records.latents import Label
from polar.records.measurement import Criterion, CriterionLabel
from polar.regime.usage import area_under_curve, rank_correlation, usage_scores


def scored(scores: Sequence[float], criterion: Criterion = Criterion.KL) -> list[CriterionLabel]:
    return [
        CriterionLabel(
            criterion=criterion, latent=j, label=Label.ACTIVE, margin=0, score=score, why=""
        )
        for j, score in enumerate(scores)
    ]


def test_the_area_is_the_fraction_of_pairs_in_the_right_order() -> None:
    score = np.array([3.0, 1.0, 2.0, 2.0, 0.0])
    truth = np.array([True, True, False, False, False])

    # 3 beats all of 2, 2, 0; 1 beats 0 alone: 4 of 6
    assert area_under_curve(score, truth) == pytest.approx(4 / 6)


def test_ties_count_half() -> None:
    assert area_under_curve(np.ones(4), np.array([True, False, True, False])) == 0.5


@pytest.mark.parametrize("truth", [True, False])
def test_one_kind_alone_has_no_area(truth: bool) -> None:
    assert area_under_curve(np.arange(3.0), np.full(3, truth)) is None


def test_the_rank_correlation_sees_order_alone() -> None:
    a = np.array([1.0, 2.0, 3.0, 4.0])

    assert rank_correlation(a, np.exp(a)) == pytest.approx(1.0)
    assert rank_correlation(a, -(a**3)) == pytest.approx(-1.0)
    assert rank_correlation(a, np.ones(4)) is None
    assert rank_correlation(np.ones(1), np.ones(1)) is None


def test_every_criterion_is_scored_by_usage() -> None:
    usage = np.array([40.0, 60.0, 0.1, 0.0])
    labels = scored([2.0, 3.0, 0.5, 0.1]) + scored([0.0, 1.0, 2.0, 3.0], Criterion.ENTROPY)

    kl, entropy = usage_scores(labels, usage)

    assert (kl.criterion, kl.auc, kl.used) == (Criterion.KL, 1.0, 2)
    assert kl.spearman == pytest.approx(1.0)
    assert (entropy.criterion, entropy.auc) == (Criterion.ENTROPY, 0.0)


def test_a_latent_is_used_above_a_hundredth_of_all_usage() -> None:
    usage = np.array([90.0, 9.01, 0.99, -5.0])

    (score,) = usage_scores(scored([4.0, 3.0, 2.0, 1.0]), usage)

    assert score.used == 2  # 1 % of 100: what is negative is not counted


@pytest.mark.parametrize("usage", [[1.0, 1.0], [0.0, 0.0]])
def test_usage_of_one_kind_scores_nothing(usage: list[float]) -> None:
    (score,) = usage_scores(scored([2.0, 1.0]), np.array(usage))

    assert (score.auc, score.spearman) == (None, None)


@pytest.mark.parametrize("usage", [[1.0], [1.0, 2.0, 3.0], [1.0, math.nan], [1.0, math.inf]])
def test_usage_that_does_not_fit_is_refused(usage: list[float]) -> None:
    with pytest.raises(InvalidInput, match=r"usage of shape .*one finite number for each of 2"):
        usage_scores(scored([2.0, 1.0]), np.array(usage))
