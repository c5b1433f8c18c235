"""Specs as text: YAML 1.2 and JSON are read alike, and nothing is passed over in silence."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.spec import ExperimentSpec, read_spec_file, read_yaml
from polar.spec.text import MOST_BYTES, read_json
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


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a: 1\nb: 2\na: 3", ["line 3, column 1", "line 1, column 1"]),
        ("m:\n  beta: 1\n  beta: 2", ["line 3, column 3", "line 2, column 3"]),
        ("{m: {beta: 1, 'beta': 2}}", ["line 1, column 15", "line 1, column 6"]),
        ('{"m": [{"a": 1, "a": 1}]}', ["line 1, column 17", "line 1, column 9"]),
        ('{\n\t"a": 1,\n\t"a": 2}', ["line 3, column 2", "line 2, column 2"]),
        ("{'a': 1, \"\\x61\": 2}", ["line 1, column 10", "line 1, column 2"]),
        ("x: &x {a: 1}\ny: {<<: *x, <<: *x}", ["line 2, column 13", "line 2, column 5"]),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_places(text: str, places: list[str]) -> None:
    with pytest.raises(InvalidInput, match="given twice") as caught:
        read_yaml(text)

    assert [place for place in places if place not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (f'{{"{"k" * 1100}": 1, "b": 2, "b": 3}}', "'/b'"),
        (f'{{"m": {{"{"k" * 1100}": 1, "{"k" * 1100}": 2}}}}', "'/m/kkk"),
        # two halves of one character, which YAML takes for two
        ('{"\U0001f600": 1, "\\ud83d\\ude00": 2}', "'/\U0001f600'"),
    ],
)
def test_a_key_given_twice_is_named_where_yaml_does_not_see_it(text: str, pointer: str) -> None:
    with pytest.raises(InvalidInput, match="given twice") as caught:
        read_yaml(text)

    assert pointer in str(caught.value)


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
        ("a: !!bool yes", "'yes' is no true or false"),
        ("a: !!int ten", "'ten' is no whole number"),
        ("a: " + "1" * 5000, "is no whole number"),
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
        ("&a [*a]", "an alias of what it is in"),
        ("a: &a {b: *a}", "an alias of what it is in"),
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


@pytest.mark.parametrize(
    "text", ["a: 1\r\nb: [2]\r\n", "\ufeffa: 1\nb: [2]", '\ufeff{"a":1,"b":[2]}']
)
def test_files_of_other_systems_are_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(text.encode())

    assert read_yaml(read_spec_file(path)) == read_yaml(text) == {"a": 1, "b": [2]}


def test_what_is_no_text_in_utf_8_is_refused_with_what_to_do(tmp_path: Path) -> None:
    utf_16, binary, large = (tmp_path / name for name in ("utf-16", "binary", "large"))
    utf_16.write_text("a: 1", "utf-16")
    binary.write_bytes(b"\x93NUMPY\x01")
    large.write_bytes(b"#" * (MOST_BYTES + 1))

    for path, words in (
        (utf_16, "save it as UTF-8"),
        (binary, "its byte 0 is 0x93"),
        (large, "at most 1,048,576 bytes"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
        ("a\0b", "null byte"),
    ):
        with pytest.raises(InvalidInput) as caught:
            read_spec_file(path)
        assert words in str(caught.value)


def test_a_json_text_is_read_as_json() -> None:
    # PyYAML takes no tabs, and reads the two halves of a surrogate pair as two characters.
    text = json.dumps({"name": "\U0001f600", "n": [1e3, -0.0, 1e-400]}, indent="\t")

    assert read_yaml(text) == json.loads(text)


def test_repeated_keys_of_json_are_named_with_their_pointers() -> None:
    _, repeated = read_json('{"a": [{"b": 1, "c": 2, "b": 3}], "d": {"e": {}, "e": []}, "a/b": 1}')

    found = {(*one.keys, one.key): one.values for one in repeated}
    assert found == {("a", 0, "b"): (1, 3), ("d", "e"): ({}, [])}


def test_the_time_of_many_keys_grows_with_their_number() -> None:
    # It grew with its square: these took minutes.
    keys = ", ".join(f'"{number}": 0' for number in range(100_000))

    _, repeated = read_json(f'{{{keys}, "7": 1}}')

    assert [(one.key, one.values) for one in repeated] == [("7", (0, 1))]


def test_keys_deeper_than_in_any_spec_are_not_looked_for() -> None:
    # Their places would fill the memory.
    deep = '{"a": 1, "a": 2}, ' * 10_000 + "0"

    assert read_json(f"{'[' * 900}{deep}{']' * 900}")[1] == []


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
