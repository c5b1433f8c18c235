"""Recipes, decisions and the other guides name only files and names that exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "glossary.md",
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
PACKAGES = ("polar", "service", "workers", "migrations", "benchmarks")
FOLDERS = (*PACKAGES, "tests", "docs", "scripts", "examples", ".ci")
#: Names of other programs and protocols, which our code does not use.
ELSEWHERE = {"MLflowCallback", "Origin", "mypy", "optimize"}

_CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"`([^`]+)`")
_FILE = re.compile(r"[\w<>*./-]+\.(py|md|toml|mako|lock|csv)")
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_whatever_a_guide_names_exists(guide: Path) -> None:
    text = _CODE_BLOCK.sub("", guide.read_text())

    misses = [word for quoted in _QUOTED.findall(text) for word in _misses(quoted)]

    assert not misses, f"{guide.name} names what is nowhere in the project: {', '.join(misses)}"


def test_what_does_not_exist_is_missed() -> None:
    quoted = [
        "polar/data/cifar.py", "mnist.py", "tests/nowhere/", "polar.data.cifar",
        "polar.data.mnist.unread", "python -m service.nothing", "NoSuchClass", "no_such_name()",
    ]  # fmt: skip

    assert [word for one in quoted for word in _misses(one)] == [
        "polar/data/cifar.py", "mnist.py", "tests/nowhere/", "polar.data.cifar",
        "polar.data.mnist.unread", "service.nothing", "NoSuchClass", "no_such_name",
    ]  # fmt: skip


def _misses(quoted: str) -> Iterator[str]:
    """The words of a quotation that look like files or names and are none.

    Prose words of a longer quotation, such as a command, are not looked up.
    """
    words = quoted.split()
    for word in words:
        word = word.removesuffix("()").strip(",;:'\"")
        if word in ELSEWHERE:
            continue
        if (word.split("/")[0] in FOLDERS and "/" in word) or _FILE.fullmatch(word):
            if not any(ROOT.glob(re.sub("<[^>]*>", "*", word.rstrip("/")))):
                yield word
        elif _NAME.fullmatch(word) and (len(words) == 1 or word.split(".")[0] in PACKAGES):
            if len(words) > 1 and "." not in word:
                continue
            if not _is_known(word):
                yield word


def _is_known(name: str) -> bool:
    if name in _all_names():
        return True
    first, *rest = name.split(".")
    if first not in PACKAGES:
        return bool(rest) and all(part in _all_names() for part in (first, *rest))
    place = ROOT / first
    while rest and ((place / rest[0]).is_dir() or (place / f"{rest[0]}.py").is_file()):
        place /= rest.pop(0)
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return set(rest) <= _names_in(file)


@cache
def _all_names() -> frozenset[str]:
    files = [
        *ROOT.glob("*.py"),
        *(file for one in PACKAGES for file in ROOT.glob(f"{one}/**/*.py")),
    ]
    return frozenset.union(*map(_names_in, files), PACKAGES)


@cache
def _names_in(file: Path) -> frozenset[str]:
    """The names that a module defines or uses, and its texts, without its docstrings."""
    names = {file.parent.name if file.stem == "__init__" else file.stem}
    docstrings: set[ast.AST] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                names.add(name)
            case ast.alias(name=name):
                names.update(name.split("."))
            case ast.keyword(arg=str(name)):
                names.add(name)
            case ast.Expr(value=ast.Constant() as docstring):
                docstrings.add(docstring)
            case ast.Constant(value=str(text)) if node not in docstrings:
                names.update((text, *re.findall(r"\w+", text)))
    return frozenset(names)
