"""What a run trains and why it failed, in a few words."""

import traceback
from typing import Any

import pytest

from polar.spec import MODELS
from service.api.runs.words import headline, weight_of


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"name": "beta_vae", "beta": 2.0}, "beta 2"),
        ({"name": "lv_ae", "lambda": 0.001}, "lambda 0.001"),
        ({"name": "own", "class": "lab:Mlp", "weight": 1.0}, "weight 1"),
        ({"name": "own", "class": "lab:Mlp", "weight": None}, None),
        ({"name": "ae"}, None),
        ({"name": "beta_vae"}, None),
        ({"name": "of_an_earlier_version", "beta": 2.0}, None),
        ({}, None),
    ],
)
def test_the_weight_of_a_model(model: dict[str, Any], expected: str | None) -> None:
    assert {"lv_ae", "own", "ae"} <= MODELS.keys()
    assert weight_of(model) == expected


def traced(message: str, *, of_another: bool) -> str:
    try:
        try:
            raise KeyError("the first")
        except KeyError as first:
            raise ValueError(message) from (first if of_another else None)
    except ValueError as error:
        return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("of_another", [False, True])
@pytest.mark.parametrize("rest", ["", "\nand more\n  indented"])
def test_the_headline_of_a_traceback_is_its_last_error(of_another: bool, rest: str) -> None:
    message = traced(f"my own mistake{rest}", of_another=of_another)
    assert headline(message) == "ValueError: my own mistake"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ""),
        (" \n", ""),
        ("the loss is no number at step 60", "the loss is no number at step 60"),
        ("...ine 1, in f\n    g()\nValueError: my own", "ValueError: my own"),
        ("the child died\nwith these words", "the child died"),
        ("Traceback (most recent call last):", ""),
        ('Traceback (most recent call last):\n  File "a.py", line 1', 'File "a.py", line 1'),
    ],
)
def test_the_headline_of_other_messages(message: str, expected: str) -> None:
    assert headline(message) == expected
