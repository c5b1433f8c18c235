from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import loss_envelope

Check = Callable[[Figure], None]


def models(
    gains: Sequence[float],
    rises: Sequence[float],
    weights: Sequence[float],
    regimes: Sequence[str],
    beaten: Sequence[bool],
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": "beta_vae",
            "dataset": "digits",
            "weight_name": "beta",
            "weight": weights,
            "seed": range(len(weights)),
            "steps": 2000,
            "regime": regimes,
            "gain_nats": gains,
            "rise_nats": rises,
            "not_optimal": beaten,
        }
    )


#: The models trained at 18 and 22 of the study net on digits, and two at smaller weights.
FOUR = models(
    [120.0, 60.0, 34.5, 0.0],
    [25.0, 4.0, 1.233, 0.0],
    [0.5, 8.0, 18.0, 22.0],
    ["under_regularised", "clean", "clean", "collapsed"],
    [False, False, False, True],
)


def lines(axes: Axes, points: int) -> list[list[float]]:
    """The heights of all lines without marks of so many points."""
    drawn = [line for line in axes.lines if line.get_marker() == "None"]
    heights = [np.asarray(line.get_ydata()).tolist() for line in drawn]
    return [heights_of_one for heights_of_one in heights if len(heights_of_one) == points]


def marks(axes: Axes, marker: str) -> list[tuple[float, float]]:
    drawn = [line for line in axes.lines if line.get_marker() == marker]
    return [
        (float(x), float(y))
        for line in drawn
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    ]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_model_is_a_straight_line_from_minus_its_gain() -> None:
    axes = loss_envelope(FOUR, (0.0, 30.0)).axes[0]

    straight = lines(axes, 2)
    assert [-120.0, 25.0 * 30 - 120] in straight
    assert [-34.5, pytest.approx(1.233 * 30 - 34.5)] in straight
    assert [0.0, 0.0] in straight  # the collapsed model


def test_the_envelope_is_the_least_of_all_lines_and_of_total_collapse() -> None:
    axes = loss_envelope(FOUR, (0.0, 30.0)).axes[0]

    (envelope,) = lines(axes, 1000)
    assert envelope[0] == -120.0
    assert envelope[-1] == 0.0  # beyond 28, where total collapse is best
    assert all(height <= 0 for height in envelope)
    assert np.all(np.diff(envelope) >= 0)  # no model pays less for a larger weight


def test_each_model_is_marked_at_its_weight_and_crossed_where_another_is_better() -> None:
    axes = loss_envelope(FOUR).axes[0]

    assert marks(axes, "o") == [(0.5, 0.5 * 25 - 120)]
    assert marks(axes, "D") == [(8.0, 8 * 4.0 - 60), (18.0, pytest.approx(18 * 1.233 - 34.5))]
    assert marks(axes, "s") == marks(axes, "x") == [(22.0, 0.0)]


def test_the_axes_say_what_is_drawn() -> None:
    figure = loss_envelope(FOUR)

    (axes,) = figure.axes
    assert axes.get_xlabel() == "weight β"
    assert axes.get_ylabel() == "loss above that of total collapse (nats)"
    assert figure.get_suptitle() == "beta_vae, digits: what 4 trained models pay"
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim() == pytest.approx((0.0, 1.05 * 22))
    assert legend(figure) == [
        "under-regularised",
        "clean",
        "collapsed",
        "not optimal",
        "least known loss",
        "total collapse",
    ]


def test_models_beyond_the_ends_of_the_axis_have_no_marks() -> None:
    figure = loss_envelope(FOUR, (0.0, 10.0))

    (axes,) = figure.axes
    assert marks(axes, "s") == marks(axes, "x") == []
    assert len(lines(axes, 2)) == 5  # a line each, and that of total collapse
    assert "not optimal" not in legend(figure)


def test_every_mark_is_within_the_axes() -> None:
    wasteful = models([10.0], [3.0], [20.0], ["forming"], [True])

    axes = loss_envelope(wasteful).axes[0]

    ((x, y),) = marks(axes, "^")
    assert (x, y) == (20.0, 50.0)
    assert axes.get_xlim()[1] > x
    assert axes.get_ylim()[1] > y


def test_many_models_and_extreme_weights_are_readable(is_readable: Check) -> None:
    random = np.random.default_rng(0)
    weights = np.geomspace(0.01, 100, 200)
    many = models(
        [*(120 / (1 + weights))],
        [*(3 / weights)],
        [*weights],
        ["clean" if weight < 30 else "collapsed" for weight in weights],
        [*(random.random(200) < 0.1)],
    )

    for table, ends in ((many, None), (many, (0.0, 0.5)), (FOUR, None), (FOUR[3:], None)):
        is_readable(loss_envelope(table, ends))
    small = FOUR.assign(weight=FOUR["weight"] / 1e4, rise_nats=FOUR["rise_nats"] * 1e4)
    is_readable(loss_envelope(small.assign(weight_name="lambda", model="lv_ae")))


def test_a_single_model_at_weight_0_is_drawn(is_readable: Check) -> None:
    is_readable(loss_envelope(FOUR[:1].assign(weight=0.0)))


def test_unusable_tables_are_refused() -> None:
    with pytest.raises(InvalidInput, match="empty table"):
        loss_envelope(FOUR[:0])
    with pytest.raises(InvalidInput, match=r"without the columns \['gain_nats'\]"):
        loss_envelope(FOUR.drop(columns="gain_nats"))
    with pytest.raises(InvalidInput, match="several values of model"):
        loss_envelope(pd.concat([FOUR, FOUR.assign(model="ivae")]))
    with pytest.raises(InvalidInput, match=r"weight is -1.0 in row 0; allowed: 0 or more"):
        loss_envelope(FOUR.assign(weight=-1.0))
    with pytest.raises(InvalidInput, match="regime is 'split' in row 0"):
        loss_envelope(FOUR.assign(regime="split"))
    with pytest.raises(
        InvalidInput, match="ends of the axis are 5 and 5; allowed: 0 <= low < high"
    ):
        loss_envelope(FOUR, (5.0, 5.0))
