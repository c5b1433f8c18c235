"""YAML 1.2 as specs are written in it: its scalars, keys and limits, and the way back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.spec import ExperimentSpec, read_yaml
from polar.spec.yaml12 import MOST_LEVELS, dump


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),  # YAML 1.1: 8
        ("0o17", 15),
        ("0x1F", 31),
        ("+12", 12),
        ("-0", 0),
        ("1e3", 1000.0),  # YAML 1.1: text
        ("1E-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("1:30", "1:30"),  # YAML 1.1: 90
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("2026-02-30", "2026-02-30"),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("=", "="),
        ("<<", "<<"),
        ("inf", "inf"),
        ("TRUE", True),
        ("false", False),
        ("~", None),
        ("NULL", None),
        ("", None),
        ("'010'", "010"),
        ("!!str 010", "010"),
        ("!!float 1", 1.0),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = read_yaml(f"a: {text}")["a"]

    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    [
        "dataset: {name: digits}\nmodel: {beta: NUMBER}",
        '{"dataset": {"name": "digits"}, "model": {"beta": NUMBER}}',
    ],
)
@pytest.mark.parametrize("number", [".nan", ".inf", "-.Inf", "1e999"])
def test_a_number_that_is_not_finite_is_refused_with_its_place(number: str, text: str) -> None:
    with pytest.raises(InvalidInput, match="/model/beta: this is not a finite number"):
        ExperimentSpec.from_yaml(text.replace("NUMBER", number))


def test_a_merged_key_may_be_overridden() -> None:
    read = read_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\nz: {<<: [*x, {c: 4}]}")

    assert (read["y"], read["z"]) == ({"a": 1, "b": 3}, {"a": 1, "b": 2, "c": 4})


def bomb() -> str:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    return "\n".join(["a0: &a0 [1]", *levels])


def chain() -> str:
    """Each anchor holds the one before it, a few levels deeper."""
    links = [f"a{i}: &a{i} {'[' * 9}*a{i - 1}{']' * 9}" for i in range(1, 200)]
    return "\n".join(["a0: &a0 [1]", *links])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("# nothing yet\n", "empty"),
        ("a:\n\tb: 1", "line 2, column 1: a tab"),
        ("a: 1\n---\nb: 2", "line 2, column 1: expected a single document"),
        ("a: !!python/object:os.system {}", "the tag !!python/object:os.system is not known"),
        ("a: !!timestamp 2026-01-01", "the tag !!timestamp is not known"),
        ("a: !!bool yes", "'yes' cannot be read as true or false"),
        ("a: !!int ten", "'ten' cannot be read as a whole number"),
        ("a: " + "1" * 5000, "cannot be read as a whole number"),
        ("a: [1, 2", "expected ',' or ']'"),
        ("a: *b", "undefined alias 'b'"),
        ("1: 2", "the key is '1'"),
        ("true: 2", "the key is 'true'"),
        ("? [1]\n: 2", "the key is a list or a mapping"),
        ("a\0b: 1", "the character U+0000"),
        ("[" * 100_000, f"allowed: {MOST_LEVELS} levels"),
        ("{a: " * 100_000, f"allowed: {MOST_LEVELS} levels"),
        ("- " * 100_000, f"allowed: {MOST_LEVELS} levels"),
        (bomb(), "allowed: 100,000 values, aliases included"),
        (chain(), f"allowed: {MOST_LEVELS} levels"),
        ("&a [*a]", "an alias of the value that contains it"),
        ("a: &a {b: *a}", "an alias of the value that contains it"),
        ("<<: 1", "for merging"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_yaml(text)

    message = str(caught.value)
    assert words in message
    assert message.startswith("the spec ")
    assert "\n" not in message
    assert len(message) < 300


words = st.sampled_from(
    ["0o17", "1e3", "010", "1:30", "null", "~", "2026-01-01", "yes", "<<", "=", ".inf", "0x1F", ""]
)
names = words | st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=40)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(names, plain, max_size=4))
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    assert read_yaml(dump(data)) == data


@given(names)
def test_every_name_of_a_spec_survives_its_text(name: str) -> None:
    spec = ExperimentSpec.model_validate(
        {"name": name, "dataset": {"name": "digits"}, "model": {}}
    )

    assert ExperimentSpec.from_yaml(spec.to_yaml()) == spec
    assert ExperimentSpec.from_yaml(spec.model_dump_json()) == spec


@given(st.text(max_size=60) | st.text("[]{}:,-&*!<>|'\" \n\ta1", max_size=40))
def test_any_text_is_data_or_refused_in_one_line(text: str) -> None:
    assert "\n" not in refusal_of(text)


def refusal_of(text: str) -> str:
    try:
        read_yaml(text)
    except InvalidInput as error:
        return str(error)
    return ""
