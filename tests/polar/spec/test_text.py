"""Specs as text: YAML 1.2 and JSON are read alike, and nothing is passed over in silence."""

import json
from pathlib import Path

import pytest
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.spec import read_spec_file, read_yaml
from polar.spec.text import MOST_BYTES, read_json


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
