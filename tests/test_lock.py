"""`requirements.lock`: the versions of `constraints.txt`, with the hashes of their files."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)(?:\[\S+\])?==(\S+)", LOCK, re.MULTILINE)
}
TRIED = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("dependency", PROJECT["dependencies"])
def test_every_dependency_is_locked_at_a_version_that_it_allows(dependency: str) -> None:
    wanted = Requirement(dependency)

    assert LOCKED[canonicalize_name(wanted.name)] in wanted.specifier


def test_the_versions_are_those_that_were_tested_together() -> None:
    both = LOCKED.keys() & TRIED.keys()

    assert {name: LOCKED[name] for name in both} == {name: TRIED[name] for name in both}
    assert len(both) > 100


def test_every_requirement_has_hashes_and_comes_from_the_index() -> None:
    requirements = re.split(r"\n(?=[^\s#])", LOCK)[1:]

    assert len(requirements) == len(LOCKED)
    assert all("--hash=sha256:" in requirement for requirement in requirements)
    assert "://" not in LOCK
