from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import entropy_against_variance, spike_and_slab

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]
EIGHT = [
    "renyi_1.01",
    "renyi_2",
    "histogram",
    "kozachenko_leonenko",
    "vasicek",
    "van_es",
    "gaussian_mixture",
    "ebrahimi",
]


def test_each_estimator_is_a_series_of_its_own(made: Made) -> None:
    table = made("estimators", made("run"))

    figure = entropy_against_variance(table)

    for line, (estimator, own) in zip(
        figure.axes[0].lines, table.groupby("estimator", sort=False), strict=True
    ):
        assert line.get_label() == estimator
        assert np.array_equal(line.get_xdata(), own["var_of_mean"])
        assert np.array_equal(line.get_ydata(), own["nats"])
    assert len({line.get_marker() for line in figure.axes[0].lines}) == 3
    assert figure.axes[0].get_ylabel() == "entropy (nats)"


def test_the_time_of_each_estimator_is_shown(made: Made) -> None:
    figure = entropy_against_variance(made("estimators", made("run")))

    times = [np.asarray(line.get_xdata()).item() for line in figure.axes[1].lines]
    assert times == pytest.approx([0.3, 1.5, 7.5])  # rounding
    assert "ms" in figure.axes[1].get_xlabel()


@pytest.mark.parametrize(
    ("least", "scale"),
    [(0.5, "linear"), (1e-6, "log"), (0.0, "symlog")],
    ids=["alike", "apart", "a constant latent"],
)
def test_variances_are_on_a_scale_that_shows_them_all(
    least: float, scale: str, made: Made, is_readable: Check
) -> None:
    table = made("estimators", made("run", 4, 4, 0))
    table.loc[table["latent"] == 3, "var_of_mean"] = least

    figure = entropy_against_variance(table)

    assert figure.axes[0].get_xscale() == scale
    is_readable(figure)


@pytest.mark.parametrize("latents", [1, 128])
def test_no_text_overlaps_for_eight_estimators(
    latents: int, made: Made, is_readable: Check
) -> None:
    is_readable(entropy_against_variance(made("estimators", made("run", latents, 1), EIGHT)))
    is_readable(spike_and_slab(made("spike_and_slab", EIGHT)))


def test_a_spike_and_slab_has_the_means_over_seeds_and_their_range(made: Made) -> None:
    table = made("spike_and_slab")

    figure = spike_and_slab(table)

    above, below = figure.axes
    by_pi = table[table["estimator"] == "renyi"].groupby("pi")
    assert np.array_equal(above.lines[0].get_xdata(), by_pi["nats"].mean().index)
    assert np.asarray(above.lines[0].get_ydata()) == pytest.approx(by_pi["nats"].mean())
    assert np.asarray(below.lines[0].get_ydata()) == pytest.approx(
        table.drop_duplicates(["pi", "seed"]).groupby("pi")["variance"].mean()
    )
    band = above.collections[0].get_paths()[0].get_extents()
    assert band.ymin == pytest.approx(by_pi["nats"].min().min())
    assert below.get_xlabel() == "weight π of the slab"
    assert below.get_ylabel() == "variance"


def test_unusable_tables_are_refused(made: Made) -> None:
    estimators, spikes = made("estimators", made("run")), made("spike_and_slab")

    with pytest.raises(InvalidInput, match="empty table"):
        entropy_against_variance(estimators.iloc[:0])
    with pytest.raises(InvalidInput, match=r"var_of_mean is -1.0 in row 0; allowed: 0 or more"):
        entropy_against_variance(estimators.assign(var_of_mean=-1.0))
    with pytest.raises(InvalidInput, match="nats is -inf in row 0"):
        entropy_against_variance(estimators.assign(nats=-np.inf))
    with pytest.raises(InvalidInput, match="estimators in one figure is 9"):
        entropy_against_variance(made("estimators", made("run"), [*EIGHT, "ninth"]))
    with pytest.raises(InvalidInput, match="empty table"):
        spike_and_slab(spikes.iloc[:0])
    with pytest.raises(InvalidInput, match=r"without the columns \['pi'\]"):
        spike_and_slab(spikes.drop(columns="pi"))
