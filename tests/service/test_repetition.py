"""When a step has failed the same way too often."""

import pytest

from service.repetition import Repetition


def fails(divisor: int) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        1 / divisor if divisor == 0 else int(f"not {divisor}")
    return raised.value


def test_the_same_failure_is_counted() -> None:
    repetition = Repetition()

    counts = [repetition.count("step", fails(divisor)) for divisor in (1, 2, 3)]

    assert counts == [1, 2, 3]  # their messages differ, what they are does not


def test_another_failure_begins_anew() -> None:
    repetition = Repetition()

    counts = [repetition.count("step", fails(divisor)) for divisor in (1, 1, 0, 1)]

    assert counts == [1, 2, 1, 1]


def test_a_success_begins_anew() -> None:
    repetition = Repetition()
    repetition.count("step", fails(1))

    repetition.forget("step")

    assert repetition.count("step", fails(1)) == 1


def test_steps_are_counted_apart() -> None:
    repetition = Repetition()
    repetition.count("step", fails(1))

    assert repetition.count("other", fails(1)) == 1
