"""Reads and writes YAML 1.2, with its core schema.

PyYAML reads YAML 1.1, in which `010` is 8, `1:30` is 90, `yes` is true, a date is a date and
`1e-3` is text. The table of plain scalars below replaces PyYAML's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from polar.errors import InvalidInput

#: Most values of a spec. An alias counts as the values that it stands for, because ten lines of
#: aliases can stand for more values than fit into memory.
MOST_VALUES = 100_000
#: Most levels of nesting; the deepest spec has 7.
MOST_LEVELS = 50

#: Part of the message on a key that a mapping has twice.
TWICE = "is given twice"

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
#: The kinds of plain scalars that are not text, their patterns, and the characters that they can
#: begin with (YAML 1.2.2, section 10.3.2).
_PLAIN: Sequence[tuple[str, str, str]] = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
)


def load(text: str) -> Any:  # noqa: ANN401
    """The plain data of one YAML document.

    Raises:
        InvalidInput: the document cannot be read, is empty, is too large or has a key twice.
    """
    try:
        data = yaml.load(text, _Loader)
    except yaml.reader.ReaderError as error:
        message = f"it has the character U+{int(error.character):04X}; allowed: text in UTF-8"
        raise InvalidInput(f"the spec cannot be read: {message}") from error
    except yaml.MarkedYAMLError as error:
        raise InvalidInput(f"the spec cannot be read: {_words(error)}") from error
    if data is None:
        raise InvalidInput("the spec is empty; see `polar/examples` for complete specs")
    return data


def dump(data: Any) -> str:  # noqa: ANN401
    """Plain data as YAML that `load` reads back."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False)


def _words(error: yaml.MarkedYAMLError) -> str:
    """The fault that PyYAML reports, in one line, with its line and column counted from 1."""
    words = " ".join(word for word in (error.context, error.problem) if word)
    if r"'\t'" in words:
        words = "a tab, which YAML does not allow here; indent with spaces"
    mark = error.problem_mark or error.context_mark
    return f"{_at(mark)}: {words}" if mark else words


def _at(mark: Any) -> str:  # noqa: ANN401
    return f"line {mark.line + 1}, column {mark.column + 1}"


@dataclass(frozen=True)
class _Extent:
    """How many values a node stands for, and how deeply they nest, aliases included."""

    values: int
    levels: int


class _Loader(yaml.SafeLoader):
    """Reads one document of plain data; the keys of a mapping must be text and all different."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._extents: dict[Node, _Extent] = {}

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:  # noqa: ANN401
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._level += 1
        if self._level > MOST_LEVELS:
            raise _refusal(f"nested too deeply; allowed: {MOST_LEVELS} levels", mark)
        is_alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is None:
            return None
        if is_alias and node not in self._extents:
            raise _refusal("an alias of the value that contains it, which would never end", mark)
        if not is_alias:
            inner = [self._extents[inner_node] for inner_node in _nodes_in(node)]
            values = 1 + sum(extent.values for extent in inner)
            levels = 1 + max((extent.levels for extent in inner), default=0)
            self._extents[node] = _Extent(values, levels)
            _refuse_odd_keys(node)
        extent = self._extents[node]
        if self._level + extent.levels > MOST_LEVELS:
            raise _refusal(f"nested too deeply; allowed: {MOST_LEVELS} levels", mark)
        if extent.values > MOST_VALUES:
            raise _refusal(f"too much; allowed: {MOST_VALUES:,} values, aliases included", mark)
        return node


def _nodes_in(node: Node) -> Sequence[Node]:
    if isinstance(node, MappingNode):
        return [key_or_value for pair in node.value for key_or_value in pair]
    return node.value if isinstance(node, SequenceNode) else ()


def _refuse_odd_keys(node: Node) -> None:
    if not isinstance(node, MappingNode):
        return
    seen: dict[str, Node] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode) or key.tag not in (_TAG + "str", _MERGE):
            shown = repr(key.value) if isinstance(key, ScalarNode) else "a list or a mapping"
            raise _refusal(f"the key is {shown}; allowed: text, in quotes", key.start_mark)
        if key.value in seen:
            first = _at(seen[key.value].start_mark)
            message = f"{key.value!r} {TWICE}, first in {first}; allowed: each key once"
            raise _refusal(message, key.start_mark)
        seen[key.value] = key


def _refusal(message: str, mark: Any) -> ConstructorError:  # noqa: ANN401
    return ConstructorError(None, None, message, mark)


def _int(text: str) -> int:
    bases = {"0o": 8, "0x": 16}
    return int(text, bases.get(text[:2], 10))


def _float(text: str) -> float:
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


_READERS: Mapping[str, Callable[[str], object]] = {
    "null": lambda _: None,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int": _int,
    "float": _float,
    "str": str,
    "merge": str,  # `<<` as a value
}


def _scalar(loader: _Loader, node: Node) -> object:
    kind = node.tag.removeprefix(_TAG)
    text = str(loader.construct_scalar(node))  # type: ignore[arg-type]
    try:
        return _READERS[kind](text)
    except (ValueError, KeyError):  # ValueError also for more digits than Python reads
        kinds = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        message = f"{text[:40]!r} cannot be read as {kinds.get(kind, kind)}"
        raise _refusal(message, node.start_mark) from None


def _refuse_tag(_loader: _Loader, node: Node) -> None:
    shown = node.tag.replace(_TAG, "!!")
    raise _refusal(f"the tag {shown} is not known; allowed: plain values", node.start_mark)


_Loader.yaml_constructors = {
    **{_TAG + kind: _scalar for kind in _READERS},
    _TAG + "seq": yaml.SafeLoader.construct_yaml_seq,
    _TAG + "map": yaml.SafeLoader.construct_yaml_map,
    None: _refuse_tag,
}


class _Dumper(yaml.SafeDumper):
    """Writes plain data, with quotes around text that the reader would not take for text."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002
        return True


for _kind in (_Loader, _Dumper):
    _kind.yaml_implicit_resolvers = {}
    for _name, _pattern, _first in _PLAIN:
        _matcher = re.compile(f"^(?:{_pattern})$")
        _firsts = [*_first, ""] if _name == "null" else list(_first)
        _kind.add_implicit_resolver(_TAG + _name, _matcher, _firsts)
