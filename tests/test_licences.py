"""Polar's licence is permissive, and so are those of all packages that it is installed with.

What a package says of itself is believed. A package that says nothing, or something else, needs
a person who reads its licence, and a line among the reviewed ones.
"""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
#: The licences in the words of SPDX, or of the older classifiers and fields.
PERMISSIVE = {
    "0BSD", "Apache 2.0", "Apache Software License", "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception", "BSD", "BSD 2-Clause License", "BSD 3-Clause License",
    "BSD License", "BSD-2-Clause", "BSD-3-Clause", "3-Clause BSD License", "BSL-1.0", "CC0-1.0",
    "ISC", "ISC License (ISCL)", "MIT", "MIT License", "MIT-0", "MIT-CMU", "PSF-2.0",
    "Python Software Foundation License", "Zlib",
}  # fmt: skip
_LGPL = "LGPL-3.0, of which a program may make use that imports it unchanged"
_MPL = "MPL-2.0, which asks something only of who changes its files"
#: Packages of other licences, or without a word about it, by the beginning of their names.
REVIEWED = {
    "axe-playwright": "MIT, by the file LICENSE in its package; axe-core in it: " + _MPL,
    "psycopg": _LGPL,
    "certifi": _MPL,
    "hypothesis": _MPL,
    "pathspec": _MPL,
    "tqdm": _MPL,
    "huey": "MIT, by the file LICENSE in its package",
    "skops": "MIT, by the file LICENSE in its package",
    "nvidia-": "NVIDIA's; torch loads it where its packages for CUDA are installed",
    "cuda-toolkit": "names packages of NVIDIA, and holds nothing itself",
}


def installed_with(name: str, extras: frozenset[str], seen: set[str]) -> Iterator[str]:
    """All packages that are installed where this one is, itself among them, each once."""
    key = f"{canonicalize_name(name)}[{','.join(sorted(extras))}]"
    if key in seen:
        return
    seen.add(key)
    try:
        requires = distribution(name).requires or []
    except PackageNotFoundError:
        return  # another one takes its place on this machine
    yield canonicalize_name(name)
    for requirement in map(Requirement, requires):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield from installed_with(requirement.name, frozenset(requirement.extras), seen)


PACKAGES = sorted(set(installed_with("polar-latents", frozenset({"test"}), set())))


def licences(name: str) -> list[str]:
    """What a package says of its licence, in the newest of the forms that it uses."""
    about = distribution(name).metadata
    for expression in about.get_all("License-Expression", []):
        return re.split(r" (?:AND|OR) ", expression.replace("(", "").replace(")", ""))
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in about.get_all("Classifier", [])
        if each.startswith("License ::")
    ]
    lines = "".join(about.get_all("License", [])).strip().splitlines()
    return classifiers or re.split(r" (?:AND|OR) ", lines[0] if lines else "nothing is said")


def test_the_walk_reaches_what_dependencies_depend_on() -> None:
    assert {"polar-latents", "numpy", "torch", "flask", "psycopg-binary", "pytest"} <= set(
        PACKAGES
    )


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_has_a_licence_that_is_permissive_or_was_reviewed(name: str) -> None:
    others = set(licences(name)) - PERMISSIVE

    assert not others or name.startswith(tuple(REVIEWED)), f"{name}: {others}"


def test_every_review_is_still_needed() -> None:
    needed = {
        start
        for start in REVIEWED
        for name in PACKAGES
        if name.startswith(start) and set(licences(name)) - PERMISSIVE
    }

    # those of CUDA are installed on some machines only
    assert needed >= REVIEWED.keys() - {"nvidia-", "cuda-toolkit"}


def test_polar_itself_is_under_the_licence_that_it_says() -> None:
    assert licences("polar-latents") == ["Apache-2.0"]
    assert "Apache License" in (ROOT / "LICENSE").read_text().split("TERMS AND CONDITIONS")[0]
