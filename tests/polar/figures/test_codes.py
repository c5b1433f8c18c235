from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from polar.errors import InvalidInput
from polar.figures import representations

Made = Callable[..., pd.DataFrame]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_each_kind_has_its_means_above_its_variances(made: Made) -> None:
    figure = representations(made("representations"))

    assert [axes.get_title() for axes in figure.axes[:3]] == [
        "active: latent 0",
        "passive: latent 1",
        "mixed: latent 2",
    ]
    assert figure.axes[1].get_xlabel() == "mean representation (latent units)"
    assert figure.axes[4].get_xlabel() == "variance representation (latent units²)"


def test_bars_are_fractions_of_the_images(made: Made) -> None:
    table = made("representations")

    figure = representations(table)

    for place, quantity in ((0, "mean"), (3, "variance")):
        bars = figure.axes[place].findobj(StepPatch)[0]
        assert isinstance(bars, StepPatch)
        fractions, edges, _ = bars.get_data()
        own = table.loc[table["latent"] == 0, quantity]
        assert np.sum(fractions) == pytest.approx(1.0)  # rounding
        assert fractions[0] == pytest.approx(own.between(edges[0], edges[1]).mean())


def test_the_widest_active_and_the_narrowest_passive_are_shown(made: Made) -> None:
    table = made("representations", ["active", "passive"])
    wide = table[table["label"] == "active"].assign(latent=5, mean=lambda t: 2 * t["mean"])
    narrow = table[table["label"] == "passive"].assign(latent=6, mean=lambda t: t["mean"] / 2)

    figure = representations(pd.concat([table, wide, narrow]))

    titles = [axes.get_title() for axes in figure.axes[:2]]
    assert titles == ["active: latent 5", "passive: latent 6"]


def test_a_run_without_mixed_latents_says_so(made: Made) -> None:
    figure = representations(made("representations", ["active", "passive"]))

    assert figure.axes[2].get_title() == "mixed: none"
    assert texts(figure.axes[2]) == texts(figure.axes[5]) == ["no mixed latent"]
    assert not figure.axes[2].patches


def test_a_deterministic_autoencoder_has_means_alone(made: Made) -> None:
    table = made("representations", ["active", "passive"]).drop(columns="variance")

    assert len(representations(table).axes) == 3


@pytest.mark.parametrize("images", [1, 50])
def test_no_text_overlaps(images: int, made: Made, is_readable: Callable[[Figure], None]) -> None:
    is_readable(representations(made("representations", images=images)))
    is_readable(representations(made("representations", ["passive"], images)))


def test_unusable_tables_are_refused(made: Made) -> None:
    table = made("representations")

    with pytest.raises(InvalidInput, match="empty table"):
        representations(table.iloc[:0])
    with pytest.raises(InvalidInput, match=r"without the columns \['mean'\]"):
        representations(table.drop(columns="mean"))
    with pytest.raises(InvalidInput, match="variance is nan in row 0"):
        representations(table.assign(variance=np.nan))
    with pytest.raises(InvalidInput, match="more than one row of"):
        representations(pd.concat([table, table.assign(label="mixed")]))
