"""Bands and their edges as the phase diagram and the overlay draw them."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.records.ranges import StudyRange
from service.api.pages.bands import EdgeBar, Shade, edge_bars, shades
from service.api.pages.charts import Axis, Bar

ENDS = (0.01, 100.0)
AXIS = Axis(*ENDS, 0.0, 400.0, is_log=True)  # a decade is 100 wide


def edge(low: float | None, high: float | None, **known: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"low": low, "high": high, "confidence": None, **known}


def believed(low: float, at: float, high: float) -> dict[str, Any]:
    return edge(low, high, at=at, confidence=0.9)


def range_of(
    *bands: tuple[dict[str, Any], dict[str, Any]], seeds: int = 1, refuted: Sequence[str] = ()
) -> StudyRange:
    """A range with intervals between these edges, of which known models refute some."""
    certificates = {
        side: {
            "side": side, "standing": "not_optimal", "reached": 1.0, "beyond": 10.0,
            "exists_from": 10.0, "exists_to": 50.0, "by": None,
        }
        for side in refuted
    }  # fmt: skip
    return StudyRange.model_validate(
        {
            "outcome": "found", "of": "clean", "steps": 30, "seeds": list(range(seeds)),
            "intervals": [{"left": left, "right": right} for left, right in bands],
            "envelope": {"left": bands[0][0], "right": bands[-1][1]}, "by_steps": [],
            "settled": None, "disagreeing": [], "weights": 1, "trainings": 1, "headline": "",
            "remarks": [], "fields": ["model.beta"],
            "certificates": {
                "not_optimal": [], "left": None, "right": None, "models": 4, **certificates,
            },
        }
    )  # fmt: skip


def ends(bar: Bar) -> tuple[float, float]:
    return bar.x, round(bar.x + bar.width, 1)


def drawn(found: StudyRange) -> tuple[list[Shade], list[EdgeBar]]:
    return list(shades(AXIS, found)), edge_bars(AXIS, ENDS, found)


def test_the_band_of_a_single_seed_is_even_between_edges_that_are_hatched() -> None:
    (band,), (left, right) = drawn(range_of((edge(0.1, 1.0), edge(10.0, None))))

    assert ends(band.bar) == (200.0, 300.0)
    assert band.stops == [(0.0, 1.0), (1.0, 1.0)]
    assert (ends(left.bar), left.kind) == ((100.0, 200.0), "bracketed")
    assert (ends(right.bar), right.kind) == ((300.0, 400.0), "bracketed")
    assert left.bar.words == "left edge: 0.1..1, one seed"
    assert right.bar.words == "right edge: above 10, one seed"


def test_over_seeds_the_band_is_as_dark_as_a_weight_is_probably_in_it() -> None:
    found = range_of((believed(0.01, 0.1, 1.0), believed(10.0, 31.6228, 100.0)), seeds=3)

    (band,), (left, right) = drawn(found)

    assert ends(band.bar) == (0.0, 400.0)
    # by a table of the normal distribution, at the quarters of 1.645 standard deviations
    chances = [0.05, 0.109, 0.205, 0.34, 0.5, 0.66, 0.795, 0.891, 0.95]
    assert [chance for _, chance in band.stops] == [*chances, *reversed(chances)]
    assert [offset for offset, _ in band.stops] == [
        *(part / 16 for part in range(9)), *(0.75 + part / 32 for part in range(9)),
    ]  # fmt: skip
    assert [(each.kind, each.middle) for each in (left, right)] == [
        ("believed", 100.0), ("believed", 350.0),
    ]  # fmt: skip
    assert left.bar.words == "left edge: 0.01..1, 90 % over seeds"


def test_the_edges_of_a_gap_say_nothing_of_seeds_and_end_the_shade() -> None:
    found = range_of(
        (believed(0.01, 0.1, 1.0), edge(2.0, 3.0)),
        (edge(5.0, 6.0), believed(10.0, 31.6228, 100.0)),
        seeds=2,
    )

    (first, second), (_, leave, enter, _) = drawn(found)

    assert first.stops[-1] == (1.0, 1.0)  # certainly in the band up to the gap
    assert second.stops[0] == (0.0, 1.0)
    assert (leave.kind, leave.bar.words) == ("bracketed", "right edge: 2..3")
    assert (enter.kind, enter.middle) == ("bracketed", None)


def test_a_refuted_edge_is_no_edge() -> None:
    found = range_of(
        (believed(0.01, 0.1, 1.0), believed(10.0, 31.6228, 100.0)), seeds=3, refuted=["right"]
    )

    (band,), (left, right) = drawn(found)

    assert (left.kind, right.kind, right.middle) == ("believed", "refuted", None)
    assert right.bar.words.startswith("right edge: refuted, reached from scratch up to 1; a clean")
    assert ends(band.bar) == (0.0, 300.0)  # up to where trainings certainly are in the band
    assert band.bar.words == "band: left edge 0.01..1, right edge refuted"


def test_edges_that_contradict_each_other_leave_a_faint_band() -> None:
    wide = range_of((believed(0.1, 1.0, 10.0), believed(0.1, 1.0, 10.0)), seeds=2)
    (band,), _ = drawn(wide)
    assert max(chance for _, chance in band.stops) == 0.25

    bands, _ = drawn(range_of((edge(0.1, 10.0), edge(1.0, 20.0))))
    assert bands == []  # a single seed leaves no weight that is certainly inside


def test_an_edge_that_is_known_to_less_than_a_pixel_is_a_step() -> None:
    exact = believed(1.0, 1.0, 1.0)

    (band,), (left, _) = drawn(range_of((exact, believed(10.0, 10.0, 10.0)), seeds=2))

    assert [offset for offset, _ in band.stops] == [0.0] * 9 + [1.0] * 9
    assert [band.stops[place][1] for place in (0, 4, 8, 9, 13, 17)] == [
        0.05, 0.5, 0.95, 0.95, 0.5, 0.05,
    ]  # fmt: skip
    assert left.bar.width == 1.0


@given(st.lists(st.floats(0.001, 1000.0), min_size=6, max_size=6))
def test_chances_are_chances_wherever_the_edges_lie(weights: list[float]) -> None:
    left, right = (believed(*sorted(each)) for each in (weights[:3], weights[3:]))

    bands, edges = drawn(range_of((left, right), seeds=2))

    for band in bands:
        offsets = [offset for offset, _ in band.stops]
        assert offsets == sorted(offsets)
        assert all(0 <= part <= 1 for stop in band.stops for part in stop)
    assert all(0 <= each.bar.x <= 400 and each.bar.width >= 1 for each in edges)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_edge_of_a_gap_is_not_refuted_with_the_outermost_edge(side: str) -> None:
    bands = (edge(0.1, 0.2), edge(1.0, 2.0)), (edge(5.0, 6.0), edge(20.0, 30.0))

    _, edges = drawn(range_of(*bands, refuted=[side]))

    kinds = [each.kind for each in edges]
    assert kinds == (
        ["refuted", *["bracketed"] * 3] if side == "left" else [*["bracketed"] * 3, "refuted"]
    )
