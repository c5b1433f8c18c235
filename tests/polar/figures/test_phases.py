from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from polar.errors import InvalidInput
from polar.figures import phase_diagram, phase_table
from polar.ranges import Search, find_range
from polar.records.ranges import Edge, Interval, Observation, Outcome, RangeReport

Check = Callable[[Figure], None]
SEARCH = Search(low=0.01, high=100.0)
ROWS = ["under-regularised", "clean", "forming", "collapsed"]


def trainings(
    weights: Sequence[float],
    regimes: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    settled: bool = True,
    field: str = "model.beta",
) -> pd.DataFrame:
    """The more weights, the fewer latents; every seed says the same."""
    actives = {"under_regularised": 16, "forming": 12, "clean": 8, "polarised": 8}
    return pd.DataFrame(
        {
            "model": "beta_vae",
            "dataset": "digits",
            "field": field,
            "steps": 2000,
            "weight": weight,
            "seed": seed,
            "regime": regime,
            "n_active": actives.get(regime, 0),
            "polarisation": 0.9 if regime in ("clean", "polarised") else 0.0,
            "explained": actives.get(regime, 0) / 16,
            "settled": settled,
        }
        for weight, regime in zip(weights, regimes, strict=True)
        for seed in seeds
    )


def report_of(table: pd.DataFrame, search: Search = SEARCH) -> RangeReport:
    columns = ("weight", "regime", "settled", "seed", "steps")
    history = [
        Observation.model_validate(dict(zip(columns, row, strict=True)))
        for row in zip(*(table[column].tolist() for column in columns), strict=True)
    ]
    return find_range(history, search)


FOUR = trainings([0.03, 0.3, 3.0, 30.0], ["under_regularised", "forming", "clean", "collapsed"])
ALL_CLEAN = trainings([0.01, 1.0, 100.0], ["clean"] * 3)
DENSE = [*np.geomspace(0.01, 100, 40), *np.geomspace(0.27, 0.33, 80), *np.geomspace(7, 9, 80)]
MANY = trainings(
    DENSE,
    ["under_regularised" if at < 0.3 else "clean" if at < 8 else "collapsed" for at in DENSE],
    settled=False,
)


def points(axes: Axes) -> list[tuple[float, float]]:
    """The marks, not the lines; by weight."""
    marks = [line for line in axes.lines if line.get_marker() != "None"]
    return sorted(
        (float(x), float(y))
        for line in marks
        for x, y in zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True)
    )


def spans(axes: Axes, *, hatched: bool) -> list[tuple[float, float]]:
    found = [
        patch
        for patch in axes.patches
        if isinstance(patch, Rectangle) and bool(patch.get_hatch()) is hatched
    ]
    return [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in found]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_training_is_a_mark_in_the_row_of_its_regime_and_at_its_measures() -> None:
    figure = phase_diagram(FOUR, SEARCH)

    verdicts, actives, polarisation, explained = figure.axes
    weights = [0.03, 0.3, 3.0, 30.0]
    assert [label.get_text() for label in verdicts.get_yticklabels()] == ROWS
    assert points(verdicts) == list(zip(weights, [0, 2, 1, 3], strict=True))
    assert points(actives) == list(zip(weights, [16, 12, 8, 0], strict=True))
    assert points(polarisation) == list(zip(weights, [0, 0, 0.9, 0], strict=True))
    assert points(explained) == list(zip(weights, [1, 0.75, 0.5, 0], strict=True))
    assert explained.get_xlabel() == "model.beta"
    assert legend(figure) == ROWS


def test_the_band_is_shaded_between_hatched_brackets_of_its_edges() -> None:
    edges = Edge(low=0.3, high=3.0, confidence=0.95), Edge(low=3.0, high=30.0, confidence=0.95)
    between = Interval(left=edges[0], right=Edge(low=10.0, high=30.0, confidence=0.95))
    report = report_of(FOUR).model_copy(update={"intervals": (between,), "envelope": between})

    figure = phase_diagram(FOUR, SEARCH, report)

    for axes in figure.axes:
        assert spans(axes, hatched=False) == [(3.0, 10.0)]
        assert spans(axes, hatched=True) == [(0.3, 3.0), pytest.approx((10.0, 30.0))]
    assert legend(figure)[-2:] == ["band", "an edge lies here"]


def test_a_band_of_one_tested_weight_is_no_more_than_its_brackets() -> None:
    figure = phase_diagram(FOUR, SEARCH, report_of(FOUR))

    assert spans(figure.axes[0], hatched=False) == []
    assert spans(figure.axes[0], hatched=True) == [(0.3, 3.0), (3.0, 30.0)]


def test_every_interval_is_shaded() -> None:
    weights = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
    regimes = ["forming", *["clean"] * 2, *["forming"] * 2, *["clean"] * 3, "collapsed"]
    table = trainings(weights, regimes)
    report = report_of(table)

    figure = phase_diagram(table, SEARCH, report)

    assert len(report.intervals) == 2
    assert spans(figure.axes[0], hatched=False) == [(0.03, 0.1), (3.0, 30.0)]
    assert "in 2 intervals" in figure.get_suptitle()


def test_an_open_edge_reaches_to_the_end_of_the_axis_and_says_so() -> None:
    report = report_of(ALL_CLEAN)

    figure = phase_diagram(ALL_CLEAN, SEARCH, report)

    top = figure.axes[0]
    lowest, highest = top.get_xlim()
    assert report.outcome is Outcome.OPEN
    assert spans(top, hatched=True) == [
        pytest.approx((lowest, 0.01)),
        pytest.approx((100.0, highest)),
    ]
    assert (top.get_title("left"), top.get_title("right")) == ("◂ open", "open ▸")
    assert figure.get_suptitle().endswith(
        "clean from below 0.01 to above 100, as reached from scratch"
    )


def test_without_a_band_nothing_is_shaded_and_the_title_says_so() -> None:
    table = trainings([0.1, 1.0], ["collapsed"] * 2)

    figure = phase_diagram(table, SEARCH, report_of(table))

    assert len(figure.axes[0].patches) == 0
    assert figure.get_suptitle().endswith("\nno clean band found")
    assert legend(figure) == ["collapsed"]


def test_trainings_that_have_not_settled_are_hollow_and_counted() -> None:
    table = pd.concat([FOUR, trainings([1.0], ["clean"], settled=False)])

    figure = phase_diagram(table, SEARCH)

    (hollow,) = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert np.asarray(hollow.get_xdata()).tolist() == [1.0]
    assert figure.get_suptitle() == "beta_vae, digits, 2,000 steps: 4 of 5 trainings settled"
    assert legend(figure)[-1] == "not settled"


def test_seeds_of_one_weight_lie_above_each_other_within_their_row() -> None:
    table = trainings([1.0], ["clean"], seeds=range(20))

    heights = [y for _, y in points(phase_diagram(table, SEARCH).axes[0])]

    assert len(set(heights)) == 20
    assert all(0.5 < height < 1.5 for height in heights)


def test_a_forming_space_has_the_marker_of_its_flaw() -> None:
    table = trainings([1.0, 2.0, 3.0, 4.0], ["forming"] * 4)
    table["flaws"] = [["idle"], ["leak"], ["idle", "blurred"], []]

    figure = phase_diagram(table)

    markers = {
        float(np.asarray(line.get_xdata())[0]): line.get_marker()
        for line in figure.axes[0].lines
        if line.get_marker() != "None"
    }
    assert markers == {1.0: "^", 2.0: "v", 3.0: ">", 4.0: "^"}
    assert legend(figure) == [
        *("forming", "forming: idle", "forming: leak", "forming: several flaws"),
    ]


def test_flaws_may_be_arrays_as_parquet_returns_them_and_may_be_missing(tmp_path: Path) -> None:
    table = trainings([1.0, 2.0, 3.0, 4.0], ["forming"] * 4)
    table["flaws"] = pd.Series([["idle"], ["idle", "blurred"], [], None], dtype=object)
    table.to_parquet(tmp_path / "trainings.parquet")

    stored = pd.read_parquet(tmp_path / "trainings.parquet")

    assert isinstance(stored["flaws"][0], np.ndarray)
    assert legend(phase_diagram(stored)) == legend(phase_diagram(table))
    assert legend(phase_diagram(stored)) == [
        *("forming", "forming: idle", "forming: several flaws"),
    ]


@pytest.mark.parametrize("flaws", [["torn"], ["idle", "torn"], [1], "idle", 3, np.ones(2)])
def test_flaws_that_are_no_list_of_flaws_are_refused(flaws: object) -> None:
    table = trainings([1.0, 2.0], ["clean", "forming"])
    table["flaws"] = pd.Series([[], flaws], dtype=object)

    with pytest.raises(InvalidInput, match=r"flaws is .* in row 1; allowed: lists of idle, leak"):
        phase_diagram(table)


@pytest.mark.parametrize("regime", ["polarised", "untrained"])
def test_a_regime_that_is_seldom_has_a_row_where_it_occurs(regime: str) -> None:
    verdicts = phase_diagram(trainings([1.0], [regime])).axes[0]

    rows = [label.get_text() for label in verdicts.get_yticklabels()]
    assert sorted(rows) == sorted([*ROWS, regime])
    assert points(verdicts) == [(1.0, rows.index(regime))]


def test_a_line_joins_the_means_over_the_seeds() -> None:
    table = pd.concat([FOUR, FOUR.assign(seed=1, n_active=[14, 12, 4, 2])])

    axes = phase_diagram(table, SEARCH).axes[1]

    (line,) = [line for line in axes.lines if line.get_marker() == "None"]
    assert np.asarray(line.get_ydata()).tolist() == [15, 12, 6, 1]


def test_the_axis_is_as_long_as_the_search_and_logarithmic() -> None:
    axes = phase_diagram(FOUR, SEARCH).axes[0]

    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < SEARCH.low < SEARCH.high < axes.get_xlim()[1]


def test_a_field_without_a_search_has_a_linear_axis() -> None:
    table = trainings([2, 8, 16], ["clean"] * 3, field="model.latent_dim")

    axes = phase_diagram(table).axes[-1]

    assert axes.get_xscale() == "linear"
    assert axes.get_xlim()[0] < 2 < 16 < axes.get_xlim()[1]
    assert axes.get_xlabel() == "model.latent_dim"


def test_steps_that_are_swept_are_named_from_the_fewest_to_the_most() -> None:
    table = trainings([500, 2000], ["forming"] * 2, field="training.steps")

    figure = phase_diagram(table.assign(steps=[500, 2000]))

    assert "500 to 2,000 steps" in figure.get_suptitle()


def test_the_numbers_are_the_trainings_and_the_edges() -> None:
    report = report_of(ALL_CLEAN)

    table = phase_table(ALL_CLEAN, report)

    seen = table.iloc[:3][ALL_CLEAN.columns]
    assert seen.to_dict("list") == ALL_CLEAN.to_dict("list")
    assert seen.to_csv(index=False) == ALL_CLEAN.to_csv(index=False)
    edges = table.iloc[3:]
    assert edges["edge"].tolist() == ["left", "right"]
    assert edges["low"].isna().tolist() == edges["high"].isna().tolist()[::-1] == [True, False]
    assert (edges["high"].iloc[0], edges["low"].iloc[1]) == (0.01, 100.0)
    assert phase_table(ALL_CLEAN) is ALL_CLEAN


@pytest.mark.parametrize("table", [FOUR, ALL_CLEAN, MANY, FOUR[:1]], ids=len)
@pytest.mark.parametrize("search", [SEARCH, Search(low=1e-6, high=1e4)])
def test_no_text_overlaps(table: pd.DataFrame, search: Search, is_readable: Check) -> None:
    is_readable(phase_diagram(table, search, report_of(table, search)))


@pytest.mark.parametrize(("low", "high"), [(1.0, 4.0), (0.5, 20.0)])
def test_a_short_axis_has_more_than_one_number(
    low: float, high: float, is_readable: Check
) -> None:
    figure = phase_diagram(trainings([1.0, 4.0], ["clean"] * 2), Search(low=low, high=high))

    is_readable(figure)
    axes = figure.axes[-1]
    ends = axes.get_xlim()
    assert len([tick for tick in axes.get_xticks() if ends[0] <= tick <= ends[1]]) >= 3


def test_no_text_overlaps_on_a_linear_axis(is_readable: Check) -> None:
    is_readable(phase_diagram(MANY))
    is_readable(phase_diagram(FOUR[:1]))


def test_unusable_tables_are_refused() -> None:
    with pytest.raises(InvalidInput, match="empty table"):
        phase_diagram(FOUR[:0], SEARCH)
    with pytest.raises(InvalidInput, match=r"without the columns \['settled'\]"):
        phase_diagram(FOUR.drop(columns="settled"))
    words = "regime is 'split' in row 0; allowed: untrained, collapsed"
    with pytest.raises(InvalidInput, match=words):
        phase_diagram(FOUR.assign(regime="split"))
    with pytest.raises(InvalidInput, match="explained is nan"):
        phase_diagram(FOUR.assign(explained=np.nan))
    with pytest.raises(InvalidInput, match=r"n_active is -1.0 in row 0; allowed: 0 or more"):
        phase_diagram(FOUR.assign(n_active=-1))
    with pytest.raises(InvalidInput, match="more than one row of"):
        phase_diagram(pd.concat([FOUR, FOUR]))
    with pytest.raises(InvalidInput, match=r"several values of field, \['model.alpha', 'model"):
        phase_diagram(pd.concat([FOUR, FOUR.assign(field="model.alpha", seed=1)]))
    with pytest.raises(InvalidInput, match=r"a weight is 0.03; allowed: 1 to 100, the search"):
        phase_diagram(FOUR, Search(low=1.0, high=100.0))
