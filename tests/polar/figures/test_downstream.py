from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from polar.errors import InvalidInput
from polar.figures import accuracy_against_k

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]


def accuracies(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata()).tolist()


def test_standardised_is_left_and_raw_right(made: Made) -> None:
    table = made("downstream", latents=4)

    figure = accuracy_against_k(table)

    assert [axes.get_title() for axes in figure.axes] == ["standardised latents", "raw latents"]
    for axes, representation in zip(figure.axes, ("standardised", "raw"), strict=True):
        own = table[(table["representation"] == representation) & (table["control"] == "none")]
        assert accuracies(axes.lines[0]) == pytest.approx(
            own.groupby("k")["accuracy"].mean().tolist()
        )
        assert np.asarray(axes.lines[0].get_xdata()).tolist() == [1, 2, 3, 4]


def test_each_control_is_a_series_of_its_own(made: Made) -> None:
    figure = accuracy_against_k(made("downstream"), n_active=6)

    lines = figure.axes[0].lines
    assert len({line.get_marker() for line in lines[:4]}) == 4
    assert np.asarray(lines[4].get_xdata()).tolist() == [6, 6]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "with L2 penalty",
        "without penalty (C = ∞)",
        "passives shuffled",
        "passives unexplained by actives",
        "active latents: 6",
    ]


def of_seeds(accuracies: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "factor": "digit",
            "k": 1,
            "representation": "raw",
            "control": "none",
            "seed": range(len(accuracies)),
            "accuracy": accuracies,
        }
    )


@pytest.mark.parametrize(
    ("test_over_train", "half"),
    # t(0.975, 2 degrees of freedom) = 4.3027; the standard deviation is 0.1
    [(0.0, 4.3027 * 0.1 / 3**0.5), (0.5, 4.3027 * 0.1 * (1 / 3 + 0.5) ** 0.5)],
)
def test_bands_are_students_intervals_of_the_mean(test_over_train: float, half: float) -> None:
    table = of_seeds([0.4, 0.5, 0.6])
    if test_over_train:
        table = table.assign(n_train=200, n_test=200 * test_over_train)

    figure = accuracy_against_k(table)

    band = figure.axes[1].collections[0].get_paths()[0].get_extents()
    # four decimals of t
    assert (band.ymin, band.ymax) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)


def test_one_seed_has_no_interval() -> None:
    band = accuracy_against_k(of_seeds([0.5])).axes[1].collections[0].get_paths()[0]

    assert band.get_extents().height == 0


def test_accuracies_stay_on_an_axis_from_0_to_1() -> None:
    low, high = accuracy_against_k(of_seeds([0.1, 0.9])).axes[1].get_ylim()

    assert (low, high) == (0.0, 1.0)


def test_several_factors_have_rows_of_their_own_below_their_mean(made: Made) -> None:
    table = made("downstream", ["shape", "scale"], 3)

    figure = accuracy_against_k(table)

    names = [axes.get_ylabel().splitlines()[0] for axes in figure.axes[::2]]
    assert names == ["mean over factors", "shape", "scale"]
    mean, shape, scale = (np.array(accuracies(axes.lines[0])) for axes in figure.axes[::2])
    assert mean == pytest.approx((shape + scale) / 2)


@pytest.mark.parametrize("latents", [1, 128])
@pytest.mark.parametrize("factors", [["category"], ["shape", "scale", "orientation", "x", "y"]])
def test_no_text_overlaps(
    latents: int, factors: list[str], made: Made, is_readable: Check
) -> None:
    is_readable(accuracy_against_k(made("downstream", factors, latents, (0, 1)), 1))


def test_unusable_tables_are_refused(made: Made) -> None:
    table = made("downstream", latents=2)

    with pytest.raises(InvalidInput, match="empty table"):
        accuracy_against_k(table.iloc[:0])
    with pytest.raises(InvalidInput, match=r"without the columns \['control'\]"):
        accuracy_against_k(table.drop(columns="control"))
    with pytest.raises(InvalidInput, match="accuracy is nan"):
        accuracy_against_k(table.assign(accuracy=np.nan))
    with pytest.raises(
        InvalidInput, match=r"representation is 'log' .*allowed: standardised, raw"
    ):
        accuracy_against_k(of_seeds([0.5]).assign(representation="log"))
    with pytest.raises(InvalidInput, match="7 factors; allowed: at most 6"):
        accuracy_against_k(made("downstream", "abcdefg", 1))
    with pytest.raises(InvalidInput, match="measurements differ between factors"):
        accuracy_against_k(pd.concat([table, of_seeds([0.5])]))
