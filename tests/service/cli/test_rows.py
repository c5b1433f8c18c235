"""Tables that cut nothing, whatever is in them and however wide the terminal is."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from service.cli.rows import Facts, Rows, age

ID = "00000000-0000-4000-8000-00000000000"


def lines(table: RenderableType, width: int, *, is_terminal: bool = True) -> list[str]:
    text = io.StringIO()
    Console(
        file=text, width=width, force_terminal=is_terminal, color_system=None, legacy_windows=False
    ).print(table)
    return text.getvalue().splitlines()


def two_runs() -> Rows:
    table = Rows("seed", "run", "state", "P", "note")
    table.add("0", f"{ID}0", "succeeded", "0.99", "")
    table.add("1", f"{ID}1", "failed", "", "the disk is full and nothing could be written")
    return table


def test_what_fits_is_a_table() -> None:
    assert lines(two_runs(), 120) == [
        "seed  run                                   state      P     note",
        f"0     {ID}0  succeeded  0.99",
        f"1     {ID}1  failed           the disk is full and nothing could be written",
    ]


def test_a_text_is_wrapped_in_its_column() -> None:
    assert lines(two_runs(), 80) == [
        "seed  run                                   state      P     note",
        f"0     {ID}0  succeeded  0.99",
        f"1     {ID}1  failed           the disk is full",
        f"{'':61}and nothing could",
        f"{'':61}be written",
    ]


def test_columns_that_do_not_fit_are_beneath_their_row() -> None:
    assert lines(two_runs(), 56) == [
        "seed  run                                   state",
        f"0     {ID}0  succeeded",
        "    P: 0.99",
        f"1     {ID}1  failed",
        "    note: the disk is full and nothing could be written",
    ]


def test_a_pipe_gets_one_line_for_each_row_and_all_columns() -> None:
    table = Rows("name", "note")
    table.add("a", "")
    table.add("b" * 300, "")

    assert lines(table, 100_000, is_terminal=False) == [
        f"name{'':296}  note",
        "a",
        "b" * 300,
    ]


def test_a_table_of_nothing_has_its_header() -> None:
    assert lines(Rows("run", "state"), 60) == ["run  state"]


def test_a_word_is_broken_only_where_a_line_is_too_short_for_it() -> None:
    table = Rows("path", "digest")
    table.add("a", "0123456789" * 3)

    assert lines(table, 20) == [
        "path",
        "a",
        "    digest:",
        "    0123456789012345",
        "    67890123456789",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0s ago"),
        (119, "119s ago"),
        (120, "2min ago"),
        (47.9 * 3600, "47h ago"),
        (400 * 86_400, "400d ago"),
    ],
)
def test_an_age_is_in_the_largest_unit_of_which_it_has_two(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_a_moment_is_an_age_on_a_terminal() -> None:
    table = Rows("run", "submitted")
    table.add("a", datetime.now(UTC) - timedelta(hours=47, minutes=1))

    assert lines(table, 80)[1].split("  ")[-1] == "47h ago"


def test_a_moment_is_in_full_in_a_pipe() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = Rows("run", "submitted")
    table.add("a", at)

    shown = lines(table, 200, is_terminal=False)[1].split("  ")[-1].strip()
    assert datetime.fromisoformat(shown) == at


def test_what_a_terminal_would_obey_is_not_sent_to_it() -> None:
    table = Rows("name")
    table.add("a\x1b[2Jb\nc\td\x9b\u2028e")

    assert lines(table, 80)[1] == "a\N{REPLACEMENT CHARACTER}[2Jb c d\N{REPLACEMENT CHARACTER} e"


def test_facts_that_are_not_known_have_no_line() -> None:
    assert lines(Facts({"run": "a", "message": None, "queue position": ""}), 80) == ["run  a"]


def test_a_long_link_has_lines_of_its_own() -> None:
    link = "http://127.0.0.1:5650/#/experiments/1"

    assert lines(Facts({"queue position": "1", "MLflow": link}), 45) == [
        "queue position  1",
        "MLflow",
        f"    {link}",
    ]


#: Letters, wide ones, combining ones, and whatever else there is.
TEXTS = st.text(
    st.one_of(st.sampled_from("ab \u0301\u540d\U0001f308"), st.characters()), max_size=100
)
WORDS = st.text("abc0.-_\u540d", min_size=1, max_size=36)


@given(
    st.lists(st.tuples(WORDS, TEXTS, WORDS, WORDS, TEXTS), max_size=4),
    st.integers(60, 200),
)
def test_no_word_is_cut_and_no_line_is_too_wide(
    rows: list[tuple[str, str, str, str, str]], width: int
) -> None:
    table = Rows("id", "name", "state", "weight", "note")
    for row in rows:
        table.add(*row)

    shown = lines(table, width)

    assert all(cell_len(line) <= width for line in shown)
    for id, _, state, weight, _ in rows:
        for word in (id, state, weight):
            # of 36 wide letters, which take 72 columns, a line of 60 cannot hold all
            assert cell_len(word) > 50 or any(word in line for line in shown)


@given(st.dictionaries(WORDS, TEXTS, max_size=4), st.integers(60, 200))
def test_no_fact_is_too_wide(facts: dict[str, str], width: int) -> None:
    assert all(cell_len(line) <= width for line in lines(Facts(facts), width))
