from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import sorted_entropies_by_weight

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]
SIXTEEN = [float(f"{weight:.2g}") for weight in np.geomspace(1e-4, 64, 16)]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_each_weight_has_a_panel_with_its_actives(made: Made) -> None:
    figure = sorted_entropies_by_weight(made("sweep", [4.0, 0.1], 6), 0.25)

    assert titles(figure) == ["β = 0.1\n0 active", "β = 4\n6 active"]


def test_the_actives_of_seeds_that_differ_are_a_range(made: Made) -> None:
    table = made("sweep", [1.0], 4)
    table.loc[(table["seed"] == 2) & (table["latent"] == 3), "label"] = "passive"

    assert titles(sorted_entropies_by_weight(table, 0.25)) == ["β = 1\n3-4 active"]


def test_the_latents_of_each_seed_descend(made: Made) -> None:
    table = made("sweep", [1.0], 5, (0, 1))
    final = table[table["step"] == 1000]

    figure = sorted_entropies_by_weight(table, 0.25)

    joined = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    for line, (_, own) in zip(joined, final.groupby("seed"), strict=True):
        descending = own["judged_entropy_nats"].sort_values(ascending=False)
        assert np.array_equal(line.get_ydata(), descending)
        assert np.asarray(line.get_xdata()).tolist() == [1, 2, 3, 4, 5]


def test_the_threshold_is_in_every_panel(made: Made) -> None:
    figure = sorted_entropies_by_weight(made("sweep"), 0.25)

    for axes in figure.axes:
        (tau,) = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert np.asarray(tau.get_ydata()).tolist() == [0.25, 0.25]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["active", "passive", "τ = 0.25 nats"]


def test_an_ivae_has_marginal_and_standardised_entropies_side_by_side(made: Made) -> None:
    table = made("sweep", [0.5, 8.0], 4, (0,), "alpha", "ivae", is_ivae=True)
    final = table[(table["step"] == 1000) & (table["weight"] == 8.0)]

    figure = sorted_entropies_by_weight(table, 0.25)

    assert titles(figure) == [
        "α = 0.5\nmarginal",  # noqa: RUF001
        "4 active\nstandardised",
        "α = 8\nmarginal",  # noqa: RUF001
        "0 active\nstandardised",
    ]
    marginal, judged = (axes.lines[0] for axes in figure.axes[2:])
    assert np.array_equal(marginal.get_ydata(), sorted(final["entropy_nats"])[::-1])
    assert np.array_equal(judged.get_ydata(), sorted(final["judged_entropy_nats"])[::-1])
    assert figure.axes[2].get_ylim() == figure.axes[3].get_ylim()


@pytest.mark.parametrize(("weights", "latents"), [([1.0], 1), (SIXTEEN[:5], 16), (SIXTEEN, 128)])
@pytest.mark.parametrize("is_ivae", [False, True])
def test_no_text_overlaps(
    weights: list[float], latents: int, is_ivae: bool, made: Made, is_readable: Check
) -> None:
    table = made("sweep", weights, latents, (0,), is_ivae=is_ivae)

    is_readable(sorted_entropies_by_weight(table, 0.25))


def test_unusable_tables_are_refused(made: Made) -> None:
    table = made("sweep", [1.0], 3)

    with pytest.raises(InvalidInput, match="empty table"):
        sorted_entropies_by_weight(table.iloc[:0], 0.25)
    with pytest.raises(InvalidInput, match=r"without the columns \['seed'\]"):
        sorted_entropies_by_weight(table.drop(columns="seed"), 0.25)
    with pytest.raises(InvalidInput, match="judged_entropy_nats is nan"):
        sorted_entropies_by_weight(table.assign(judged_entropy_nats=np.nan), 0.25)
    with pytest.raises(InvalidInput, match="several values of model"):
        sorted_entropies_by_weight(pd.concat([table, table.assign(model="ivae")]), 0.25)
    with pytest.raises(InvalidInput, match="more than one row"):
        sorted_entropies_by_weight(pd.concat([table, table]), 0.25)
    with pytest.raises(InvalidInput, match="17 weights; allowed: at most 16"):
        sorted_entropies_by_weight(made("sweep", range(1, 18), 1, (0,)), 0.25)
