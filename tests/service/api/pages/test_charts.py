"""Axes and charts of the pages: where values lie, and what is drawn of a study and a run."""

import math
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from polar.records.latents import Regime
from polar.records.ranges import StudyRange
from service.api.pages.charts import PLOT, Axis, across
from service.api.pages.course_chart import MOST_POINTS, entropy_chart, loss_chart
from service.api.pages.machine import machine_use
from service.api.pages.phase_chart import BESIDE, Dot, PhaseChart, phase_chart
from tests.conftest import Reports

ENDS = (0.01, 100.0)
EDGE = {"confidence": 0.9, "at": None, "width": None, "movement": None}


def dot(weight: float, row: Any = Regime.CLEAN, **fields: Any) -> Dot:  # noqa: ANN401
    return Dot(UUID(int=1), weight, fields.pop("seed", 0), row, "words", **fields)


def chart_of(*dots: Dot, found: StudyRange | None = None) -> PhaseChart:
    return phase_chart("model.beta", ENDS, is_log=True, dots=dots, study_range=found)


@pytest.mark.parametrize(
    ("axis", "labels"),
    [
        (Axis(0.01, 100, 0, 1, is_log=True), ["0.01", "0.1", "1", "10", "100"]),
        (Axis(1, 30, 0, 1, is_log=True), ["1", "2", "5", "10", "20"]),
        (Axis(0, 1, 0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis(0, 1000, 0, 1), ["0", "200", "400", "600", "800", "1,000"]),
        (Axis(-0.01, 1, 0, 1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (Axis(3, 3, 0, 1), ["3"]),
    ],
)
def test_ticks_are_round(axis: Axis, labels: list[str]) -> None:
    assert [label for _, label in axis.ticks()] == labels


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.booleans())
def test_values_lie_in_their_order_between_the_ends(
    low: float, value: float, high: float, is_log: bool
) -> None:
    low, value, high = sorted((low, value, high))
    assume(low < high)
    axis = Axis(low, high, 100.0, 900.0, is_log)

    assert (axis.at(low), axis.at(high)) == (100.0, 900.0)
    assert 100.0 <= axis.at(value) <= 900.0
    assert axis.at(low / 2) == 100.0
    assert all(100.0 <= place <= 900.0 for place, _ in axis.ticks())


def test_the_middle_of_a_logarithmic_axis_is_the_geometric_mean() -> None:
    assert Axis(0.01, 100, 0, 800, is_log=True).at(1.0) == 400.0


def test_a_stretch_of_an_axis_is_never_too_narrow_to_be_seen() -> None:
    axis = Axis(0, 10, 100, 200)

    assert axis.stretch(2, 5) == (120.0, 30.0)
    assert axis.stretch(5, 5) == (150.0, 1.0)
    assert axis.stretch(-5, 20) == (100.0, 100.0)


def test_places_across_a_plot_are_shares_of_its_width() -> None:
    assert [across(units) for units in (0.0, PLOT / 8, 333.3, PLOT)] == [
        "0%", "12.5%", "33.33%", "100%",
    ]  # fmt: skip


def test_a_training_is_in_the_row_of_its_verdict_and_in_every_measure() -> None:
    finished = dot(1.0, n_active=4, polarisation=0.5, explained=1.0, is_settled=True)
    running = dot(10.0, "running")
    chart = chart_of(finished, running)

    verdicts, active, polarisation, explained = chart.panels
    assert [word for _, word in verdicts.ticks] == [
        "under-regularised", "clean", "forming", "collapsed", "running",
    ]  # fmt: skip
    of_finished, of_running = chart.marks
    assert (of_finished.dot, of_running.dot) == (finished, running)
    assert of_running.ys == [verdicts.ticks[4][0]]
    assert of_finished.ys == [
        verdicts.ticks[1][0],
        active.top + 8,
        pytest.approx((polarisation.top + polarisation.bottom) / 2),
        explained.top + 8,
    ]
    assert chart.shown == [Regime.CLEAN, "running"]


def test_seeds_of_a_weight_lie_apart() -> None:
    marks = chart_of(*(dot(1.0, seed=seed) for seed in range(5))).marks

    assert len({mark.ys[0] for mark in marks}) == 5
    assert {mark.x for mark in marks} == {marks[0].x}


def test_stretches_without_a_training_are_named_untested() -> None:
    chart = chart_of(dot(0.01), dot(0.02), dot(1.0))

    before, after = chart.untested  # from 0.02 to 1, and from 1 to the end
    (one,) = (x for x, word in chart.ticks if word == "1")
    assert before.x > 0.0
    assert before.x + before.width == one - BESIDE
    assert (after.x, after.x + after.width) == (one + BESIDE, chart.ticks[-1][0] - BESIDE)


def test_the_band_lies_between_its_edges() -> None:
    left, right = {"low": 0.1, "high": 1.0, **EDGE}, {"low": 10.0, "high": None, **EDGE}
    found = StudyRange.model_validate(
        {
            "outcome": "open", "of": "clean", "steps": 30, "seeds": [0], "envelope": None,
            "intervals": [{"left": left, "right": right}], "by_steps": [], "settled": None,
            "disagreeing": [], "weights": 1, "trainings": 1, "headline": "", "remarks": [],
            "fields": ["model.beta"],
        }
    )  # fmt: skip
    chart = chart_of(dot(2.0), found=found)

    (band,) = chart.bands
    first, second = chart.edges
    ticks = {word: x for x, word in chart.ticks}
    assert (band.x, band.x + band.width) == (ticks["1"], ticks["10"])
    assert (first.x, first.x + first.width) == (ticks["0.1"], ticks["1"])
    assert (second.x, second.x + second.width) == (ticks["10"], ticks["100"])
    assert first.words == "left edge: 0.1..1, 90% over seeds"


def test_a_study_without_trials_has_an_empty_diagram() -> None:
    chart = chart_of()

    assert chart.marks == []
    assert len(chart.panels) == 4
    assert len(chart.untested) == 1


def test_each_latent_has_a_curve_on_its_side_of_tau(reports: Reports) -> None:
    chart = entropy_chart([reports.evaluation(step) for step in (0, 50, 100)], 100)

    active, passive = chart.curves
    assert (active.label, passive.label) == ("active", "passive")
    assert chart.tau is not None
    for curve, is_above in ((active, True), (passive, False)):
        places = [tuple(map(float, place.split(","))) for place in curve.points.split()]
        assert [x for x, _ in places] == [0.0, PLOT / 2, PLOT]
        assert all((y < chart.tau) == is_above for _, y in places)


@given(st.lists(st.floats(-1e3, 1e9), min_size=1, max_size=1000))
def test_a_loss_is_drawn_with_few_points_inside_of_its_frame(losses: list[float]) -> None:
    chart = loss_chart(list(enumerate(losses)), len(losses))

    (curve,) = chart.curves
    places = [tuple(map(float, place.split(","))) for place in curve.points.split()]
    assert 1 <= len(places) <= min(MOST_POINTS, len(losses))
    assert all(math.isfinite(x) and chart.top <= y <= chart.bottom for x, y in places)
    assert places[-1][0] == max(x for x, _ in places)


def test_the_use_of_the_machine_is_that_of_the_newest_second() -> None:
    shown = machine_use(
        {
            "cpu_utilization_percentage": [(5, 50.0), (10, 97.6)],
            "process_memory_usage_megabytes": [(5, 1.0), (10, 412.3)],
            "system_memory_usage_megabytes": [(5, 1.0), (10, 9000.0)],
            "gpu_10_memory_usage_megabytes": [(5, 2.0)],
            "gpu_2_utilization_percentage": [(5, 0.0), (10, 100.0)],
            "gpu_2_memory_usage_megabytes": [(5, 1.0), (10, 1203.4)],
        }
    )

    assert shown is not None
    assert shown.words == "CPU 98 %, 412 MB; GPU 2 100 %, 1,203 MB; GPU 10 2 MB"
    assert [curve.name for curve in shown.chart.curves] == ["CPU", "GPU 2"]
    assert shown.chart.title == "Use of processor and GPU"
    top, bottom = shown.chart.heights[-1], shown.chart.heights[0]
    assert (bottom[1], top[1]) == ("0", "100")
    first, last = (point.split(",") for point in shown.chart.curves[1].points.split())
    assert float(first[1]) == bottom[0]
    assert (float(last[0]), float(last[1])) == (PLOT, top[0])


def test_nothing_is_shown_of_a_run_that_nobody_watched() -> None:
    assert machine_use({}) is None


def test_several_cores_at_work_are_more_than_a_hundred_percent() -> None:
    shown = machine_use({"cpu_utilization_percentage": [(5, 50.0), (10, 380.0)]})

    assert shown is not None
    assert shown.words == "CPU 380 %"
    assert [label for _, label in shown.chart.heights] == ["0", "100", "200", "300"]
