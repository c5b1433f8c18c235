"""The page shows what was measured, and says what was not."""

from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.report import page
from benchmarks.results import Bar, Measured, Table, shown

LEAST = Bar("ours, to the script", 1.5, 2.0, "x", is_least=True)
MOST = Bar("first step", 0.25, 0.5, "s")


def result_of(measured: Measured, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "command": "python -m benchmarks.growth --out DIR",
        "is_quick": False,
        "commit": "abc",
        "began": "2026-11-27T00:00:00+00:00",
        "seconds": 2.0,
        "load_before": 0.0,
        **asdict(measured),
        **fields,
    }


def test_a_bar_is_met_on_its_side_of_the_bound_and_at_it() -> None:
    assert [bar.is_met for bar in (LEAST, MOST)] == [False, True]
    assert Bar("", 2.0, 2.0, "x", is_least=True).is_met
    assert Bar("", 0.5, 0.5, "s").is_met
    assert not Bar("", None, 0.5, "s").is_met


def test_the_page_shows_bars_tables_and_what_is_missing() -> None:
    table = Table("Costs", ["of", "s"], [["runs", 1234.5], ["steps", None]])
    unknown = Bar("bfloat16", None, 2.5, "x", is_least=True)

    text = page({"growth": result_of(Measured([table], [LEAST, MOST, unknown]))})

    assert "| ours, to the script | 1.5 x | at least 2 x | **no** |" in text
    assert "| first step | 0.25 s | at most 0.5 s | yes |" in text
    assert "| bfloat16 | not measured | at least 2.5 x | **no** |" in text
    assert "| runs | 1,234 |" in text
    assert "Not measured: Machine, A whole sweep on digits" in text
    assert "--quick" not in text


def test_the_page_says_which_numbers_are_of_quick_trials() -> None:
    assert "Made with `--quick`" in page({"growth": result_of(Measured([]), is_quick=True)})


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (0.0, "0"), (2e-8, "2e-08"), (0.12345, "0.123"), (45.67, "45.7"), (999.4, "999"),
        (31_234.6, "31,235"), (10_000, "10,000"), (None, ""), ("no", "no"), (-1.234, "-1.23"),
    ],
)  # fmt: skip
def test_numbers_are_shown_with_three_digits(cell: float | str | None, text: str) -> None:
    assert shown(cell) == text
