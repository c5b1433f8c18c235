"""What all parts of a spec have in common."""

from typing import Any

import pytest
from pydantic import ValidationError

from polar.spec import DigitsSpec, ExperimentSpec, TrainingSpec

LARGEST_INTEGER = 10**15


def named(name: object) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {"name": name, "dataset": {"name": "digits"}, "model": {}}
    )


@pytest.mark.parametrize("steps", [1000, 1e3])
def test_an_integer_may_be_written_as_a_real_number(steps: float) -> None:
    spec = TrainingSpec.model_validate({"steps": steps})

    assert (spec.steps, type(spec.steps)) == (1000, int)


@pytest.mark.parametrize("steps", [1.5, "1000", True, None, 1e400])
def test_nothing_else_is_an_integer(steps: object) -> None:
    with pytest.raises(ValidationError):
        TrainingSpec.model_validate({"steps": steps})


def test_integers_end_where_doubles_are_still_exact() -> None:
    spec = TrainingSpec(checkpoint_every=LARGEST_INTEGER)

    assert int(float(spec.checkpoint_every - 1)) == LARGEST_INTEGER - 1
    with pytest.raises(ValidationError):
        TrainingSpec(checkpoint_every=LARGEST_INTEGER + 1)


@pytest.mark.parametrize("name", ["two\nlines", "nul\0", "tab\t", "half \ud800", "x" * 101, 3])
def test_a_name_is_one_short_line_of_text(name: object) -> None:
    with pytest.raises(ValidationError):
        named(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("\u200c", "between two other characters"),
        ("\u200cbeta", "between two other characters"),
        (" \u200dbeta", "between two other characters"),
        ("beta\u200d", "between two other characters"),
        ("beta\u200c ", "between two other characters"),
        ("be\u200c\u200dta", "between two other characters"),
        ("\u3164", "can be seen"),
        ("\u2800 \u115f\u200d\u1160", "can be seen"),
        ("\ufe0f", "can be seen"),
        ("\u0301\u200c\u0301", "can be seen"),
        ("abc\u202edef", "printable"),  # the rest would be read from right to left
        ("abc\u2066def", "printable"),
        ("abc\u200edef", "printable"),
        ("be\u200bta", "printable"),
        ("be\u2060ta", "printable"),
        ("be\xadta", "printable"),
        ("\ufeffbeta", "printable"),
    ],
    ids=ascii,
)
def test_a_name_can_be_seen_as_it_is(name: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        named(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "beta, round 2",
        "Zürich \U0001f600",
        "x" * 100,
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: I want
        "क्\u200dष",  # Devanagari: a half form
        "\U0001f469\u200d\U0001f52c",  # emoji: a researcher
        "\U0001f3f3\ufe0f\u200d\U0001f308 flag",
        "\u2764\ufe0f",  # a heart, which ends with the mark for coloured emoji
    ],
    ids=ascii,
)
def test_any_printable_line_is_a_name(name: str) -> None:
    assert named(name).name == name


@pytest.mark.parametrize("fields", [{"step": 3}, {"learning_rate": float("nan")}])
def test_unknown_fields_and_numbers_that_are_not_finite_are_refused(
    fields: dict[str, Any],
) -> None:
    with pytest.raises(ValidationError):
        TrainingSpec.model_validate(fields)


def test_a_part_never_changes() -> None:
    spec = DigitsSpec()

    with pytest.raises(ValidationError):
        spec.images = 10  # type: ignore[misc]
