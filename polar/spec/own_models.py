"""Models of users: which of them a machine lets specs name, and the digest of their code."""

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field

from polar.spec.fields import SpecPart

#: Environment variable with the packages whose models may be imported, separated by blanks.
PACKAGES_VARIABLE = "POLAR_MODEL_PACKAGES"
#: What may name a model: `package.module:Class`, or a shorter name.
KIND = re.compile(r"[A-Za-z_][\w.-]*(:[A-Za-z_]\w*)?")
#: Group of entry points under which installed packages offer models by shorter names.
GROUP = "polar.models"
#: The type of the fault that no agent has the code that a spec names.
OTHER_CODE = "other_code"


class AllowedModels(SpecPart):
    """The models of users that a machine lets specs name."""

    #: The allowed packages that are installed, each with the digest of its code.
    packages: dict[str, str] = Field({})
    #: The places of the models that these packages offer, by their shorter names.
    names: dict[str, str] = Field({})

    def code_of(self, kind: str) -> str | None:
        """The digest of the code of a model; None if the model is not allowed.

        Args:
            kind: `package.module:Class`, or one of the shorter names.
        """
        place = self.names.get(kind, kind)
        known = (self.packages[each] for each in self.packages if is_of(place, [each]))
        return next(known, None) if ":" in place else None


def allowed_packages() -> tuple[str, ...]:
    """The packages whose models may be imported here, as the environment names them."""
    return tuple(os.environ.get(PACKAGES_VARIABLE, "").replace(",", " ").split())


def is_of(place: str, packages: Iterable[str]) -> bool:
    """Whether a place, such as `package.module:Class`, is inside of one of the packages."""
    module = place.partition(":")[0]
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def may_be_imported(place: str) -> bool:
    """Whether a model may be imported: its package is named, or the program has imported it."""
    return place.partition(":")[0] in sys.modules or is_of(place, allowed_packages())


def offered() -> dict[str, str]:
    """The places of the models that installed packages offer, by the shorter names."""
    offers = {offer.name: offer.value for offer in entry_points(group=GROUP)}
    return {
        name: place
        for name, place in offers.items()
        if KIND.fullmatch(name) and ":" not in name and KIND.fullmatch(place) and ":" in place
    }


def installed_here() -> dict[str, str]:
    """The allowed packages that are installed, each with the digest of its code."""
    packages = {package: digest_of(package) for package in allowed_packages()}
    return {package: digest for package, digest in packages.items() if digest}


def allowed_here() -> AllowedModels:
    """The models of users that this machine lets specs name."""
    installed = installed_here()
    places = offered() if installed else {}
    names = {name: place for name, place in places.items() if is_of(place, installed)}
    return AllowedModels(packages=installed, names=names)


def code_here(kind: str) -> str | None:
    """The digest of the code of a model on this machine; None if it may not be imported here.

    It is none as well for what is in no file, such as a class of a notebook.

    Args:
        kind: `package.module:Class`, or the name of an entry point.
    """
    place = _place_of(kind)
    return digest_of(place) if place and may_be_imported(place) else None


def code_installed(kind: str) -> str | None:
    """The digest of the code of a model that is installed here, whether it is allowed or not.

    Args:
        kind: `package.module:Class`, or the name of an entry point.
    """
    place = _place_of(kind)
    return digest_of(place) if place else None


def digest_of(place: str) -> str | None:
    """The SHA-256 (hex) of all Python files of the package that has a place; nothing is imported.

    Args:
        place: A package, a module, or `package.module:Class`; its first part is the package.

    Returns:
        The digest; None if no such package is installed, or it has no files.
    """
    top = place.partition(":")[0].partition(".")[0]
    with suppress(ImportError, ValueError, OSError):  # ValueError: a module without a spec
        found = find_spec(top)
        if found is None:
            return None
        folders = [Path(folder) for folder in found.submodule_search_locations or ()]
        files = {
            str(path.relative_to(folder)): path
            for folder in folders
            for path in sorted(folder.rglob("*.py"))
            if path.is_file()  # editors leave dangling links
        }
        if not folders and found.origin and found.has_location:
            files = {Path(found.origin).name: Path(found.origin)}
        as_they_are = [(name, path, path.stat()) for name, path in sorted(files.items())]
        return _digest(
            tuple((name, path, is_.st_size, is_.st_mtime_ns) for name, path, is_ in as_they_are)
        )
    return None


@lru_cache(64)
def _digest(files: tuple[tuple[str, Path, int, int], ...]) -> str | None:
    """Digest of files; their sizes and times say whether it must be taken again."""
    if not files:
        return None
    sha256 = hashlib.sha256()
    for name, path, *_ in files:
        content = path.read_bytes()
        sha256.update(f"{name}\0{len(content)}\0".encode() + content)
    return sha256.hexdigest()


def _place_of(kind: str) -> str:
    return kind if ":" in kind else offered().get(kind, "")


#: Who knows the code of a model, for a device, while a spec is validated; the service asks its
#: agents instead.
known_code: ContextVar[Callable[[str, str], str | None]] = ContextVar(
    "known_code", default=lambda kind, _device: code_here(kind)
)
