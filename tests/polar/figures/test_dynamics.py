from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import activation_order, measures_over_training, trajectories

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]


def lines_by_style(axes: Axes, marker: str) -> list[list[float]]:
    return [
        np.asarray(line.get_ydata()).tolist() for line in axes.lines if line.get_marker() == marker
    ]


def test_entropy_information_and_variance_of_the_most_active_latent(made: Made) -> None:
    table = made("run")
    own = table[table["latent"] == 0]

    figure = measures_over_training(table)

    above, below = figure.axes
    entropy, information = above.lines
    (variance,) = below.lines
    whole = own["information_nats"] + own["information_residual_nats"]
    assert np.array_equal(entropy.get_ydata(), whole)
    assert "H₂" in str(entropy.get_label())
    assert np.array_equal(information.get_ydata(), own["information_nats"])
    assert np.array_equal(variance.get_ydata(), own["var_of_mean"])
    assert np.array_equal(variance.get_xdata(), own["step"])
    assert (above.get_ylabel(), below.get_ylabel()) == ("nats", "latent units²")
    assert len({line.get_marker() for line in (entropy, information, variance)}) == 3


def test_information_is_drawn_where_it_was_measured(made: Made) -> None:
    table = made("run", 3)
    table.loc[table["step"] < 1000, "information_nats"] = None

    information = measures_over_training(table, latent=1).axes[0].lines[1]

    assert np.asarray(information.get_xdata()).tolist() == [1600, 3000, 5000, 8000]


def test_measures_of_no_latent_are_refused(made: Made) -> None:
    table = made("run", 4, 2, 0)

    with pytest.raises(InvalidInput, match="latent 7 is not in the table; allowed: 0, 1"):
        measures_over_training(table, latent=7)
    with pytest.raises(InvalidInput, match="no latent is active at the end; name"):
        measures_over_training(table.assign(label="passive"))
    with pytest.raises(InvalidInput, match="no information of latent 1"):
        measures_over_training(table.assign(information_nats=None), latent=1)
    with pytest.raises(InvalidInput, match="empty table"):
        measures_over_training(table.iloc[:0])


def test_one_active_one_passive_and_the_attempts_are_shown(made: Made) -> None:
    table = made("run", 8, 3, 2)
    courses = {
        latent: own["judged_entropy_nats"].tolist() for latent, own in table.groupby("latent")
    }

    figure = trajectories(table, made("dynamics", table), 0.25)

    active, passive, attempted = figure.axes
    assert lines_by_style(active, "o") == [courses[0]]
    assert courses[1] in lines_by_style(active, "None")
    assert len(lines_by_style(passive, "s")) == 1
    assert len(lines_by_style(passive, "None")) == 2 + 1  # the others, and tau
    assert sorted(lines_by_style(attempted, "s")) == sorted([courses[3], courses[4]])
    (peaks,) = lines_by_style(attempted, "v")
    assert sorted(peaks) == sorted([max(courses[3]), max(courses[4])])
    assert active.get_title() == "active: latent 0 (2 more in grey)"


def test_the_threshold_is_in_every_panel(made: Made) -> None:
    table = made("run")

    figure = trajectories(table, made("dynamics", table), 0.25)

    for axes in figure.axes:
        (tau,) = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert np.asarray(tau.get_ydata()).tolist() == [0.25, 0.25]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["τ = 0.25 nats", "peak of an attempted active"]


def test_kinds_that_do_not_occur_are_said_to_be_missing(made: Made) -> None:
    table = made("run", 4, 4, 0)

    figure = trajectories(table, made("dynamics", table), 0.25)

    titles = [axes.get_title() for axes in figure.axes[1:]]
    assert titles == ["passive: none in this run", "attempted active: none in this run"]


@pytest.mark.parametrize(("latents", "active", "attempts"), [(1, 1, 0), (16, 6, 2), (128, 9, 60)])
def test_no_text_overlaps(
    latents: int, active: int, attempts: int, made: Made, is_readable: Check
) -> None:
    table = made("run", latents, active, attempts)
    dynamics = made("dynamics", table)

    is_readable(trajectories(table, dynamics, 0.25))
    is_readable(measures_over_training(table))
    is_readable(activation_order(dynamics, made("usage", table)))


def dynamics_and_usage(steps: list[float | None]) -> tuple[pd.DataFrame, pd.DataFrame]:
    latents = range(len(steps))
    usage = [10.0 - latent for latent in latents]
    return (
        pd.DataFrame({"latent": latents, "activation_step": steps}),
        pd.DataFrame({"latent": latents, "usage_nats": usage}),
    )


def test_activation_steps_are_against_usage() -> None:
    figure = activation_order(*dynamics_and_usage([10, 100, 1000, None]))

    axes = figure.axes[0]
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [10, 100, 1000]
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == [10, 9, 8]
    low, high = axes.get_xlim()
    assert low < 10 < 1000 < high
    assert axes.get_title() == "3 active, rank correlation -1.00; 1 not active at the end"


@pytest.mark.parametrize("steps", [[10, None], [10, 10, 10]])
def test_too_few_or_equal_steps_have_no_rank_correlation(steps: list[float | None]) -> None:
    figure = activation_order(*dynamics_and_usage(steps))

    assert "correlation" not in figure.axes[0].get_title()


def test_tables_that_do_not_belong_together_are_refused(made: Made) -> None:
    table = made("run")
    dynamics, usage = made("dynamics", table), made("usage", table)

    with pytest.raises(InvalidInput, match="dynamics are of different latents"):
        trajectories(table, dynamics.iloc[1:], 0.25)
    with pytest.raises(InvalidInput, match="usage are of different latents"):
        activation_order(dynamics, usage.iloc[1:])
    with pytest.raises(InvalidInput, match="no latent is active at the end"):
        activation_order(dynamics.assign(activation_step=None), usage)
    with pytest.raises(InvalidInput, match="more than one row"):
        activation_order(pd.concat([dynamics, dynamics]), usage)
