from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from polar.errors import InvalidInput
from polar.figures import hysteresis_diagram, hysteresis_table
from polar.figures.style import GREEN, SKY
from polar.ranges import Search, find_range
from polar.records.latents import Regime
from polar.records.ranges import Observation, RangeReport

Check = Callable[[Figure], None]
SEARCH = Search(low=0.01, high=100.0, steps=2000, seeds=(0, 1, 2))
EDGES, HELD_EDGES = (0.31, 18.5), (0.1, 27.0)


def regime_at(weight: float, edges: tuple[float, float]) -> Regime:
    if weight > edges[1]:
        return Regime.COLLAPSED
    return Regime.CLEAN if weight > edges[0] else Regime.UNDER_REGULARISED


def trainings(
    from_scratch: Sequence[float],
    from_inside: Sequence[tuple[float, float]],
    seeds: Sequence[int] = (0, 1, 2),
) -> pd.DataFrame:
    """Trainings at weights from scratch, and at weights from the ends of others."""
    begun: list[tuple[float, float | None, tuple[float, float]]]
    begun = [(weight, None, EDGES) for weight in from_scratch]
    begun += [(weight, donor, HELD_EDGES) for weight, donor in from_inside]
    actives = {Regime.UNDER_REGULARISED: 16, Regime.COLLAPSED: 0}
    rows = [
        {
            "model": "beta_vae",
            "dataset": "digits",
            "field": "model.beta",
            "weight": weight,
            "seed": seed,
            "warm_start": donor,
            "steps": 2000,
            "regime": regime.value,
            "n_active": actives.get(regime, max(3, round(9 - 2 * np.log(weight)))),
            "explained": 0.0 if regime is Regime.COLLAPSED else 0.9 - 0.02 * weight - 0.01 * seed,
        }
        for weight, donor, edges in begun
        for seed in seeds
        if (regime := regime_at(weight, edges)) is not None
    ]
    return pd.DataFrame(rows)


def report_of(table: pd.DataFrame, search: Search = SEARCH) -> RangeReport:
    columns = ["weight", "seed", "steps", "regime", "warm_start"]
    history = [
        Observation(**{name: None if pd.isna(row[name]) else row[name] for name in columns})
        for row in table.to_dict("records")
    ]
    return find_range(history, search)


FROM_SCRATCH = [0.05, 0.28, 0.3, 0.32, 0.35, 1.0, 5.0, 17.0, 18.0, 19.0, 20.0, 60.0]
FROM_INSIDE = [(0.09, 0.32), (0.105, 0.32), (0.2, 0.32)]
FROM_INSIDE += [(22.0, 18.0), (26.0, 18.0), (28.0, 18.0), (40.0, 18.0)]
ALL = trainings(FROM_SCRATCH, FROM_INSIDE)
FEW = trainings([1.0, 18.0, 20.0], [(25.0, 18.0), (30.0, 18.0)], seeds=[0])


def marks(axes: Axes, *, are_open: bool) -> set[tuple[float, float]]:
    lines = [
        line
        for line in axes.lines
        if line.get_marker() != "None" and (line.get_markerfacecolor() == "white") is are_open
    ]
    return {
        (float(x), round(float(y), 6))
        for line in lines
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    }


def lines(axes: Axes) -> list[list[tuple[float, float]]]:
    found = [line for line in axes.lines if line.get_marker() == "None"]
    return [
        [
            (float(x), float(y))
            for x, y in zip(
                np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True
            )
        ]
        for line in found
    ]


def spans(axes: Axes, color: str, *, hatched: bool) -> list[tuple[float, float]]:
    found = [
        patch
        for patch in axes.patches
        if isinstance(patch, Rectangle)
        and bool(patch.get_hatch()) is hatched
        and to_hex(patch.get_edgecolor() if hatched else patch.get_facecolor()) == color.lower()
    ]
    return [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in found]


def test_trainings_from_scratch_are_filled_and_those_from_inside_open() -> None:
    actives, explained = hysteresis_diagram(FEW, SEARCH).axes

    assert marks(actives, are_open=False) == {(1.0, 9.0), (18.0, 3.0), (20.0, 0.0)}
    assert marks(actives, are_open=True) == {(25.0, 3.0), (30.0, 0.0)}
    assert marks(explained, are_open=True) == {(25.0, 0.4), (30.0, 0.0)}
    assert explained.get_xlabel() == "model.beta"


def test_a_line_leads_from_each_donor_to_what_went_on_from_it() -> None:
    actives, explained = hysteresis_diagram(FEW, SEARCH).axes

    assert lines(actives) == [[(18.0, 3.0), (25.0, 3.0)], [(18.0, 3.0), (30.0, 0.0)]]
    assert lines(explained) == [
        [pytest.approx((18.0, 0.54)), pytest.approx((25.0, 0.4))],
        [pytest.approx((18.0, 0.54)), pytest.approx((30.0, 0.0))],
    ]


def test_a_training_whose_donor_is_not_in_the_table_has_no_line() -> None:
    table = FEW[FEW["weight"] != 18.0]

    assert lines(hysteresis_diagram(table, SEARCH).axes[0]) == []


def test_the_band_and_what_is_only_held_are_shaded_apart() -> None:
    report = report_of(ALL)
    assert report.envelope is not None
    assert report.held is not None

    figure = hysteresis_diagram(ALL, SEARCH, report)

    left, right = report.envelope.left, report.envelope.right
    far_left, far_right = report.held.left, report.held.right
    for axes in figure.axes:
        assert spans(axes, GREEN, hatched=False) == [pytest.approx((left.high, right.low))]
        assert spans(axes, SKY, hatched=False) == [
            pytest.approx((far_left.high, left.low)),
            pytest.approx((right.high, far_right.low)),
        ]
        assert spans(axes, SKY, hatched=True) == [
            pytest.approx((edge.low, edge.high)) for edge in (far_left, far_right)
        ]
    assert " ".join(figure.get_suptitle().split("\n")) == f"beta_vae, digits {report.headline}"


@pytest.mark.parametrize(
    ("table", "search"),
    [
        (ALL, SEARCH),
        (FEW, SEARCH),
        (FEW, Search(low=0.9, high=31.0, steps=2000)),
        (trainings([1.0], [(2.0, 1.0)], seeds=range(20)), SEARCH),
        (trainings([30.0], [(40.0, 18.0)]), SEARCH),
    ],
    ids=["three seeds", "one seed", "narrow", "twenty seeds", "no band"],
)
def test_any_study_is_drawn_legibly(
    table: pd.DataFrame, search: Search, is_readable: Check
) -> None:
    is_readable(hysteresis_diagram(table, search, report_of(table, search)))


def test_the_numbers_have_a_row_for_each_training_and_for_each_edge() -> None:
    table = hysteresis_table(FEW, report_of(FEW))

    assert table["weight"].dropna().tolist() == FEW["weight"].tolist()
    assert table["warm_start"].dropna().tolist() == [18.0, 18.0]
    assert table["edge"].dropna().tolist() == [
        "from scratch left",
        "from scratch right",
        "held left",
        "held right",
    ]
    assert table["high"].dropna().tolist() == [1.0, 20.0, 1.0, 30.0]


def test_tables_that_show_no_hysteresis_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no training of the table went on from another"):
        hysteresis_diagram(FEW[FEW["warm_start"].isna()], SEARCH)
    with pytest.raises(InvalidInput, match=r"warm_start"):
        hysteresis_diagram(FEW.drop(columns="warm_start"), SEARCH)
    with pytest.raises(InvalidInput, match="allowed: at least 1 row"):
        hysteresis_diagram(FEW[:0], SEARCH)
    with pytest.raises(InvalidInput, match="split"):
        hysteresis_diagram(FEW.assign(regime="split"), SEARCH)
    with pytest.raises(InvalidInput, match="30"):
        hysteresis_diagram(FEW, Search(low=0.01, high=29.0))
    with pytest.raises(InvalidInput, match="more than one row"):
        hysteresis_diagram(pd.concat([FEW, FEW]), SEARCH)
