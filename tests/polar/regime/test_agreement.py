from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from polar.records.latents import Label
from polar.records.measurement import Criterion, CriterionLabel
from polar.regime.agreement import agreement, cohens_kappa

A, P, M, U = Label.ACTIVE, Label.PASSIVE, Label.MIXED, Label.UNDETERMINED
unhurried = settings(deadline=None)  # other processes may have the machine


def said(criterion: Criterion, labels: Sequence[Label]) -> list[CriterionLabel]:
    return [
        CriterionLabel(criterion=criterion, latent=j, label=label, margin=0, score=0, why="")
        for j, label in enumerate(labels)
    ]


def test_kappa_of_the_textbook_example() -> None:
    # 50 proposals: both say yes to 20 and no to 15, one alone yes to 5 and the other to 10
    pairs = (
        [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    )

    assert cohens_kappa(pairs) == pytest.approx(0.4)  # (0.7 - 0.5) / (1 - 0.5)


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        ([(True, True), (False, False)], 1.0),
        ([(True, False), (False, True)], -1.0),
        ([(True, True), (True, False)], 0.0),
        ([(True, False)] * 3, 0.0),
        ([(True, True)] * 3, None),
        ([(False, False)], None),
        ([], None),
    ],
)
def test_kappa_at_its_ends(pairs: list[tuple[bool, bool]], kappa: float | None) -> None:
    assert cohens_kappa(pairs) == kappa


@unhurried
@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[bool, bool]]) -> None:
    kappa = cohens_kappa(pairs)

    if kappa is not None:
        a, b = zip(*pairs, strict=True)
        assert kappa == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
        assert kappa == cohens_kappa([(y, x) for x, y in pairs])
    else:
        assert len(set(pairs)) == 1


def test_every_pair_of_criteria_is_compared_once() -> None:
    three = said(Criterion.ENTROPY, [A, P]) + said(Criterion.KL, [A, P])
    three += said(Criterion.BONHEME, [P, A])

    found = agreement(three)

    assert [(pair.criterion_a, pair.criterion_b) for pair in found] == [
        (Criterion.ENTROPY, Criterion.KL),
        (Criterion.ENTROPY, Criterion.BONHEME),
        (Criterion.KL, Criterion.BONHEME),
    ]
    assert [(pair.kappa, pair.agreement) for pair in found] == [(1, 1), (-1, 0), (-1, 0)]


def test_mixed_counts_as_active() -> None:
    (pair,) = agreement(said(Criterion.ENTROPY, [A, A, P]) + said(Criterion.BONHEME, [A, M, P]))

    assert (pair.kappa, pair.agreement, pair.compared) == (1, 1, 3)


def test_undetermined_latents_are_left_out() -> None:
    strict = said(Criterion.BONHEME_STRICT, [A, U, P, U])

    (pair,) = agreement(said(Criterion.ENTROPY, [A, P, P, A]) + strict)

    assert (pair.kappa, pair.agreement, pair.compared) == (1, 1, 2)


def test_criteria_with_nothing_in_common_have_no_agreement() -> None:
    (pair,) = agreement(said(Criterion.ENTROPY, [A]) + said(Criterion.BONHEME_STRICT, [U]))

    assert (pair.kappa, pair.agreement, pair.compared) == (None, None, 0)
