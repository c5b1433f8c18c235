"""Reads the text of specs: YAML 1.2, of which JSON is a part."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from polar.errors import InvalidInput
from polar.spec import yaml12
from polar.spec.faults import pointer_to, shortened

#: Most bytes of a spec; the largest useful spec (1,000 seeds, 1,000 epochs) has about 30 kB.
MOST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Repeated:
    """A key that an object of a JSON text has more than once."""

    #: The keys that lead from the whole text to the object.
    keys: tuple[str | int, ...]
    key: str
    #: The first and the last value of the key.
    values: tuple[object, object]


def read_spec_file(path: Path | str) -> str:
    """The text of a spec file.

    Raises:
        InvalidInput: the file cannot be read, is not text in UTF-8, or is too large for a spec.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InvalidInput(
                f"the spec file {path} is too large; allowed: at most {MOST_BYTES:,} bytes"
            )
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"the spec file {path} is not text in UTF-8: its byte {error.start} is "
            f"0x{content[error.start]:02x}; save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:  # ValueError for a NUL in the path
        if isinstance(error, InvalidInput):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"cannot read the spec file {path}: {reason}") from error


def read_yaml(text: str) -> Any:  # noqa: ANN401
    """The content of a YAML or JSON text, as plain data that is not validated yet.

    Raises:
        InvalidInput: the text is neither YAML nor JSON, is empty, or has a key twice.
    """
    text = text.removeprefix("\ufeff")
    try:
        data, repeated = read_json(text)
    except (ValueError, RecursionError):
        return yaml12.load(text)
    if repeated:
        _refuse(repeated[0], text)
    return data


def read_json(text: str | bytes) -> tuple[Any, list[Repeated]]:
    """The content of a JSON text, and the keys that its objects have more than once.

    The content has the last value of such a key. Objects nested deeper than in any spec are not
    examined.

    Raises:
        ValueError: the text is not JSON.
        RecursionError: the text is nested too deeply to be read.
    """
    # Raw JSON: nothing is known of it yet but its keys.
    repeating: dict[int, tuple[dict[str, Any], list[Repeated]]] = {}

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        last = dict(pairs)
        if len(last) < len(pairs):
            first = dict(reversed(pairs))
            counts = Counter(key for key, _ in pairs)
            twice = [key for key, count in counts.items() if count > 1]
            repeated = [Repeated((), key, (first[key], last[key])) for key in twice]
            repeating[id(last)] = last, repeated
        return last

    data = json.loads(text, object_pairs_hook=read_object)
    if not repeating:
        return data, []
    return data, [
        Repeated(keys, repeated.key, repeated.values)
        for keys, value in _objects(data)
        if id(value) in repeating
        for repeated in repeating[id(value)][1]
    ]


def _refuse(repeated: Repeated, text: str) -> NoReturn:
    try:
        # The YAML reader names the line. It refuses tabs, which JSON allows between values only.
        yaml12.load(text.replace("\t", " "))
    except InvalidInput as error:
        if yaml12.TWICE in str(error):
            raise
    # The YAML reader may have stopped at another fault: it refuses keys of over 1,024 characters.
    key = shortened(pointer_to((*repeated.keys, repeated.key)))
    raise InvalidInput(f"the spec cannot be read: {key} {yaml12.TWICE}; allowed: each key once")


def _objects(
    data: object, keys: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Every object of JSON data, with the keys that lead to it, as deep as specs may be nested."""
    inner: Iterable[tuple[str | int, object]] = ()
    if isinstance(data, dict):
        yield keys, data
        inner = data.items()
    elif isinstance(data, list):
        inner = enumerate(data)
    if len(keys) < yaml12.MOST_LEVELS:
        for key, value in inner:
            if isinstance(value, dict | list):
                yield from _objects(value, (*keys, key))
