"""Models of users: which of them a machine lets specs name."""

import os
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points

#: Environment variable with the packages whose models may be imported, separated by blanks.
PACKAGES_VARIABLE = "POLAR_MODEL_PACKAGES"
#: Group of entry points under which installed packages offer models by shorter names.
GROUP = "polar.models"


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
    return {offer.name: offer.value for offer in entry_points(group=GROUP)}


def allowed_here() -> list[str]:
    """The packages that are allowed here, and the shorter names of the models inside of them."""
    packages = allowed_packages()
    if not packages:
        return []
    return [*packages, *(name for name, place in offered().items() if is_of(place, packages))]
