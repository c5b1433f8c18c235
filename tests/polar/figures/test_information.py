from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from polar.errors import InvalidInput
from polar.figures import information_by_weight, information_diagram, information_split

Made = Callable[..., pd.DataFrame]
Check = Callable[[Figure], None]
SIXTEEN = [float(f"{weight:.2g}") for weight in np.geomspace(1e-4, 64, 16)]


def entropies(image: float, code: float, joint: float) -> pd.DataFrame:
    columns = ["image_entropy_nats", "entropy_nats", "joint_entropy_nats"]
    return pd.DataFrame([[image, code, joint]], columns=columns)


def bars_of(axes: Axes, place: int) -> list[Rectangle]:
    groups = [group for group in axes.containers if isinstance(group, BarContainer)]
    return list(groups[place].patches)


def heights(axes: Axes, place: int) -> list[float]:
    return [bar.get_height() for bar in bars_of(axes, place)]


def sweep(made: Made, weights: Sequence[float], latents: int = 16) -> pd.DataFrame:
    runs = made("sweep", weights, latents)
    return pd.concat([runs[["weight_name", "weight", "seed"]], made("information", runs)], axis=1)


def test_the_parts_of_the_joint_entropy_add_up_to_it() -> None:
    figure = information_diagram(entropies(5.0, 3.0, 6.0))

    bars = [bars_of(figure.axes[0], place)[0] for place in range(6)]
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    joint, images, code, rest, shared, residual = spans
    assert joint == (0, 6)
    assert images == (0, 5)
    assert code == (3, 6)
    assert [rest, shared, residual] == [(0, 3), (3, 5), (5, 6)]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "H(X, Z) = 6.000",
        "H(X) = 5.000",
        "H(Z) = 3.000",
        "H(X | Z) = 3.000",
        "I(X; Z) = 2.000",
        "H(Z | X) = 1.000",
    ]


@pytest.mark.parametrize(
    ("image", "code", "joint", "part"),
    [(5, 3, 4.9, r"H\(Z \| X\)"), (2, 3, 2.9, r"H\(X \| Z\)")],
)
def test_impossible_joint_entropies_are_refused(
    image: float, code: float, joint: float, part: str
) -> None:
    with pytest.raises(InvalidInput, match=rf"{part} is -0.1 nats; allowed: 0 or more"):
        information_diagram(entropies(image, code, joint))


def test_information_below_0_leaves_a_gap_between_the_bars() -> None:
    axes = information_diagram(entropies(5.0, 3.0, 8.01)).axes[0]

    of_images, of_code, shared = (bars_of(axes, place)[0] for place in (1, 2, 4))
    assert of_images.get_x() + of_images.get_width() == 5.0
    assert of_code.get_x() == pytest.approx(5.01)
    assert shared.get_width() == 0.0
    assert axes.get_yticklabels()[4].get_text() == "I(X; Z) = -0.010"


def test_a_diagram_is_of_one_row() -> None:
    two = pd.concat([entropies(5, 3, 6)] * 2)

    with pytest.raises(InvalidInput, match="diagram has 2 rows; allowed: 1"):
        information_diagram(two)


def test_bars_are_information_and_residual_by_descending_entropy() -> None:
    table = pd.DataFrame(
        {
            "step": [1, 1, 2, 2],
            "latent": [0, 1, 0, 1],
            "information_nats": [9.0, 9.0, 0.25, 1.5],
            "residual_nats": [9.0, 9.0, 0.125, 0.25],
            "baseline_nats": [9.0, 9.0, 0.1, 0.2],
        }
    )

    figure = information_split(table)

    axes = figure.axes[0]
    assert heights(axes, 0) == [1.5, 0.25]
    assert heights(axes, 1) == [0.25, 0.125]
    assert [bar.get_y() for bar in bars_of(axes, 1)] == [1.5, 0.25]
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == [0.2, 0.1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "information I(X; μ)",
        "residual H(μ | X)",
        "I of shuffled pairs",
    ]


def test_the_parts_differ_in_hatching(made: Made) -> None:
    axes = information_split(made("information", made("run"))).axes[0]

    assert {bar.get_hatch() for bar in axes.patches} == {None, "/////"}


def test_sums_by_weight_are_means_over_seeds(made: Made) -> None:
    table = sweep(made, [0.1, 4.0])
    final = table[table["step"] == 1000]

    figure = information_by_weight(table)

    above, below = figure.axes
    runs = final.groupby(["weight", "seed"])[["information_nats", "residual_nats"]].sum()
    means = runs.groupby("weight").mean()
    assert heights(above, 0) == pytest.approx(means["information_nats"].tolist())
    assert heights(above, 1) == pytest.approx(means["residual_nats"].tolist())
    assert np.asarray(above.lines[0].get_xdata()).tolist() == [1, 1, 1, 2, 2, 2]
    assert np.asarray(above.lines[0].get_ydata()) == pytest.approx(runs["information_nats"])
    assert np.asarray(below.lines[0].get_ydata()) == pytest.approx([0.97] * 6)
    assert below.get_xlabel() == "weight β"
    assert [label.get_text() for label in below.get_xticklabels()] == ["0.1", "4"]


def test_a_run_without_entropy_has_a_gap_for_the_part_that_is_information(made: Made) -> None:
    table = sweep(made, [0.1, 4.0])
    table.loc[table["weight"] == 4.0, ["information_nats", "residual_nats"]] = 0.0

    parts = np.asarray(information_by_weight(table).axes[1].lines[0].get_ydata())

    assert np.isnan(parts).tolist() == [False] * 3 + [True] * 3


@pytest.mark.parametrize("weights", [[1.0], SIXTEEN])
@pytest.mark.parametrize("latents", [1, 128])
def test_no_text_overlaps(
    weights: list[float], latents: int, made: Made, is_readable: Check
) -> None:
    is_readable(information_by_weight(sweep(made, weights, latents)))
    is_readable(information_split(made("information", made("run", latents, 1))))


def test_no_text_of_the_diagram_overlaps(is_readable: Check) -> None:
    is_readable(information_diagram(entropies(6.9, 1e-9, 6.9)))
    is_readable(information_diagram(entropies(0.0, 0.0, 0.0)))


@pytest.mark.parametrize("draw", [information_split, information_by_weight])
def test_unusable_tables_are_refused(draw: Callable[[pd.DataFrame], Figure], made: Made) -> None:
    table = sweep(made, [1.0])
    one = table[table["seed"] == 0]

    with pytest.raises(InvalidInput, match="empty table"):
        draw(table.iloc[:0])
    with pytest.raises(InvalidInput, match=r"without the columns \['residual_nats'\]"):
        draw(one.drop(columns="residual_nats"))
    with pytest.raises(InvalidInput, match="information_nats is nan"):
        draw(one.assign(information_nats=np.nan))
    with pytest.raises(InvalidInput, match="more than one row of"):
        draw(pd.concat([one, one]))
