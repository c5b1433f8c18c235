from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import criteria_agreement, thresholds, usage_against_entropy

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]
CRITERIA = [
    "entropy",
    "active_units",
    "two_signals",
    "kl",
    "conditional_prior",
    "epsilon_delta",
    "bonheme",
    "bonheme_strict",
]


def pair(
    a: str, b: str, kappa: float | None, agreement: float | None, compared: int
) -> dict[str, object]:
    numbers = {"kappa": kappa, "agreement": agreement, "compared": compared}
    return {"criterion_a": a, "criterion_b": b, **numbers}


def drawn(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of each kind of marker."""
    points: dict[str, list[tuple[float, float]]] = {}
    for line in axes.lines:
        xy = zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
        points.setdefault(f"{line.get_marker()}", []).extend((float(x), float(y)) for x, y in xy)
    return points


def test_kappas_are_below_the_diagonal_whatever_the_order_of_a_pair() -> None:
    table = pd.DataFrame(
        [
            pair("entropy", "kl", 0.75, 15 / 16, 16),
            pair("bonheme", "entropy", None, 1.0, 4),
            pair("kl", "bonheme", -0.25, None, 0),
        ]
    )

    axes = criteria_agreement(table).axes[0]

    # the order of first mention as criterion_a: entropy, bonheme, kl
    assert [label.get_text() for label in axes.get_xticklabels()] == ["entropy", "bonheme"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["bonheme", "kl"]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "-\n4 of 4", (0, 1): "0.75\n15 of 16", (1, 1): "-0.25"}
    assert axes.images[0].get_clim() == (-0.25, 1.0)


def test_the_agreement_says_how_it_takes_labels_that_are_neither(made: Made) -> None:
    title = criteria_agreement(made("agreement", CRITERIA)).get_suptitle()

    assert "mixed counts as active, undetermined latents are left out" in title


def test_entropy_and_usage_of_each_latent_with_its_label(made: Made) -> None:
    table, usage = made("run", 3, 1, 0), made("usage", made("run", 3, 1, 0))
    final = table[table["step"] == table["step"].max()].set_index("latent")
    table.loc[table["latent"] == 2, "label"] = "mixed"

    figure = usage_against_entropy(usage.sample(frac=1, random_state=0), table, 0.25)

    axes = figure.axes[0]
    entropies, uses = final["judged_entropy_nats"], usage.set_index("latent")["usage_nats"]
    expected = {"o": 0, "s": 1, "^": 2}
    points = drawn(axes)
    for marker, latent in expected.items():
        assert points[marker] == [(entropies[latent], uses[latent])]
    assert (0.25, 0.0) in points["None"]  # tau
    assert axes.get_xlabel() == "entropy (nats)"
    assert "nats" in axes.get_ylabel()


def test_idle_latents_have_a_ring(made: Made) -> None:
    table, usage = made("run", 3, 2, 0), made("usage", made("run", 3, 2, 0))
    table["is_idle"] = (table["latent"] == 1).astype(float)
    (idle,) = table[(table["step"] == table["step"].max()) & (table["latent"] == 1)].index

    rings = usage_against_entropy(usage, table, 0.25).axes[0].lines[-1]

    assert np.asarray(rings.get_xdata()).tolist() == [table["judged_entropy_nats"][idle]]
    assert np.asarray(rings.get_ydata()).tolist() == [usage["usage_nats"].iloc[1]]


def test_rules_and_entropies_share_their_axis(made: Made) -> None:
    intervals = made("intervals", made("run"))

    figure = thresholds(intervals, made("rules"))

    left, right = figure.axes
    assert left.get_ylim() == right.get_ylim()
    descending = intervals["judged_entropy_nats"].sort_values(ascending=False).tolist()
    points = drawn(left)
    assert [y for _, y in [*points["o"], *points["s"]]] == descending
    bars = left.collections[0].get_segments()  # type: ignore[attr-defined]
    ordered = intervals.sort_values("judged_entropy_nats", ascending=False)
    assert [bar[0][1] for bar in bars] == ordered["low_nats"].tolist()
    assert [bar[1][1] for bar in bars] == ordered["high_nats"].tolist()


def test_a_rule_without_a_threshold_says_so(made: Made) -> None:
    right = thresholds(made("intervals", made("run")), made("rules")).axes[1]

    assert [label.get_text() for label in right.get_xticklabels()] == [
        "fixed",
        "gap",
        "otsu",
        "mixture (none)",
        "noise_floor",
    ]
    taus = [tau for _, tau in drawn(right)["D"]]
    assert taus[:3] + taus[4:] == [0.25, 0.7, 0.6, 0.02]
    assert np.isnan(taus[3])


@pytest.mark.parametrize("criteria", [2, 8])
def test_no_text_of_the_agreement_overlaps(criteria: int, made: Made, is_readable: Check) -> None:
    is_readable(criteria_agreement(made("agreement", CRITERIA[:criteria])))


@pytest.mark.parametrize("latents", [1, 16, 128])
def test_no_text_overlaps(latents: int, made: Made, is_readable: Check) -> None:
    run = made("run", latents, latents // 2, 0)

    is_readable(thresholds(made("intervals", run), made("rules")))
    is_readable(usage_against_entropy(made("usage", run), run, 0.25))


def test_unusable_tables_are_refused(made: Made) -> None:
    run = made("run")
    agreement, usage = made("agreement", CRITERIA), made("usage", run)
    intervals, rules = made("intervals", run), made("rules")

    with pytest.raises(InvalidInput, match="empty table"):
        criteria_agreement(agreement.iloc[:0])
    with pytest.raises(InvalidInput, match="more than one row"):
        criteria_agreement(pd.concat([agreement, agreement]))
    with pytest.raises(InvalidInput, match="11 criteria; allowed: at most 10"):
        criteria_agreement(made("agreement", "abcdefghijk"))
    with pytest.raises(InvalidInput, match="usage are of different latents"):
        usage_against_entropy(usage.iloc[1:], run, 0.25)
    with pytest.raises(InvalidInput, match="usage_nats is inf"):
        usage_against_entropy(usage.assign(usage_nats=np.inf), run, 0.25)
    with pytest.raises(InvalidInput, match=r"without the columns \['low_nats'\]"):
        thresholds(intervals.drop(columns="low_nats"), rules)
    with pytest.raises(InvalidInput, match="tau_nats is inf"):
        thresholds(intervals, rules.assign(tau_nats=np.inf))
