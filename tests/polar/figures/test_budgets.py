import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from polar.errors import InvalidInput
from polar.figures import budget_table, weight_by_steps
from polar.ranges import Search, find_range
from polar.records.latents import Regime
from polar.records.ranges import Observation, RangeReport, Snapshot

Check = Callable[[Figure], None]
SEARCH = Search(low=0.01, high=100, steps=2000, seeds=(0, 1, 2))
EVALUATIONS = (250, 500, 1000, 2000)


def verdict(weight: float, steps: int) -> Regime:
    """A left edge that falls by 1/2.1 a doubling, and weights that begin to learn late."""
    if steps < 20 * weight:
        return Regime.UNTRAINED
    if weight > 18:
        return Regime.COLLAPSED
    left = 0.125 * 2.1 ** math.log2(2000 / steps)
    if weight < 0.8 * left:
        return Regime.UNDER_REGULARISED
    return Regime.CLEAN if weight >= left else Regime.FORMING


def history(weights: Sequence[float], seeds: int = 1) -> list[Observation]:
    return [
        Observation(
            weight=weight,
            seed=place % seeds,
            steps=EVALUATIONS[-1],
            regime=verdict(weight, EVALUATIONS[-1]),
            trajectory=tuple(
                Snapshot(steps=at, regime=verdict(weight, at)) for at in EVALUATIONS[:-1]
            ),
        )
        for place, weight in enumerate(weights)
    ]


def table_of(history: Sequence[Observation]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": "beta_vae",
            "dataset": "digits",
            "field": "model.beta",
            "weight": seen.weight,
            "seed": seen.seed,
            "steps": at.steps,
            "regime": at.regime.value,
        }
        for seen in history
        for at in (*seen.trajectory, seen)
    )


def draw(history: Sequence[Observation], search: Search = SEARCH) -> tuple[Figure, RangeReport]:
    report = find_range(history, search)
    return weight_by_steps(table_of(history), search, report), report


WEIGHTS = np.geomspace(0.01, 100, 60).tolist()


def marks(axes: Axes) -> set[tuple[float, float]]:
    lines = [line for line in axes.lines if line.get_marker() != "None"]
    return {
        (float(x), round(float(y), 6))
        for line in lines
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    }


def test_every_evaluation_of_every_training_has_a_mark() -> None:
    figure, _ = draw(history(WEIGHTS))

    assert marks(figure.axes[0]) == {(at, float(s)) for at in WEIGHTS for s in EVALUATIONS}


def test_the_seeds_of_a_weight_do_not_hide_each_other() -> None:
    seen = [
        Observation(weight=1.0, seed=seed, steps=2000, regime=Regime.CLEAN) for seed in range(3)
    ]

    figure, _ = draw(seen)

    assert len({y for _, y in marks(figure.axes[0])}) == 3


def test_seeds_of_different_weights_are_marked_at_their_true_steps() -> None:
    # With a seed for each training, as in range studies, marks at 800 steps stood at 776 and 824.
    figure, _ = draw(history(WEIGHTS, seeds=3))

    assert {y for _, y in marks(figure.axes[0])} == set(map(float, EVALUATIONS))
    assert figure.axes[0].get_ylabel() == "training step"


@pytest.mark.parametrize(
    ("weights", "has_band"), [([0.01, 0.5, 5.0, 30.0], True), ([30.0, 50.0], False)]
)
def test_what_is_known_at_a_single_budget_is_drawn_if_the_legend_has_it(
    weights: list[float], has_band: bool
) -> None:
    seen = [
        Observation(weight=weight, seed=0, steps=2000, regime=verdict(weight, 2000))
        for weight in weights
    ]

    figure, _ = draw(seen)

    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    areas = [area.get_paths()[0].get_extents() for area in figure.axes[0].collections]
    assert ("band" in words, "an edge lies here" in words) == (has_band, has_band)
    assert len(areas) == 3 * has_band
    assert all(area.height > 0 and area.width > 0 for area in areas)


def test_the_lines_are_the_edges_at_every_budget() -> None:
    figure, report = draw(history(WEIGHTS))

    left, right = [line for line in figure.axes[0].lines if line.get_marker() == "None"]
    budgets = [at for at in report.by_steps if at.envelope]
    assert np.asarray(left.get_ydata()).tolist() == [at.steps for at in budgets]
    assert np.asarray(left.get_xdata()).tolist() == [
        at.envelope.left.middle for at in budgets if at.envelope
    ]
    assert np.asarray(right.get_xdata()).tolist() == pytest.approx(
        [at.envelope.right.middle or math.nan for at in budgets if at.envelope], nan_ok=True
    )


def test_the_headline_is_the_title() -> None:
    figure, report = draw(history(WEIGHTS))

    title = " ".join(figure.get_suptitle().split("\n"))
    assert title == f"beta_vae, digits {report.headline}"


@pytest.mark.parametrize(
    ("weights", "seeds"),
    [
        (WEIGHTS, 1),
        (WEIGHTS, 3),
        (np.geomspace(0.2, 10, 20).tolist(), 3),  # open on both sides
        ([30.0, 50.0], 1),  # no band
        ([1.0], 1),
    ],
    ids=["one seed", "three seeds", "open", "no band", "one training"],
)
def test_any_history_is_drawn_legibly(
    weights: list[float], seeds: int, is_readable: Check
) -> None:
    figure, _ = draw(history(weights, seeds))

    is_readable(figure)


def test_the_table_of_budgets_has_a_row_for_each_edge() -> None:
    _, report = draw(history(WEIGHTS))

    table = budget_table(report)

    assert table["steps"].tolist() == [at for at in EVALUATIONS for _ in range(2)]
    assert table["edge"].tolist() == ["left", "right"] * 4
    assert table.columns.tolist() == [
        "steps", "trainings", "edge", "low", "high", "confidence", "at", "width"
    ]  # fmt: skip


def test_a_range_without_a_band_has_an_empty_table_of_budgets() -> None:
    assert budget_table(find_range([], SEARCH)).empty


def test_a_weight_outside_the_search_is_refused() -> None:
    report = find_range([], SEARCH)

    with pytest.raises(InvalidInput, match="200"):
        weight_by_steps(table_of(history([200.0])), SEARCH, report)
    with pytest.raises(InvalidInput, match="allowed: at least 1 row"):
        weight_by_steps(table_of([]), SEARCH, report)
