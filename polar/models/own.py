"""Models of users: classes that are imported by their name, where somebody has allowed it.

A class of a model is an `nn.Module` with the methods of `polar.models.Autoencoder`, and

    Fields      a pydantic model of its own part of the spec, `fields`;
    __init__    takes those fields, the `Sizes`, and the generator of its first weights.

`polar.testing.check_model` says whether a class keeps to this.
"""

import importlib
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from polar.errors import InvalidInput
from polar.spec import ImageShape, LikelihoodSpec, OwnModelSpec
from polar.spec.own_models import (
    PACKAGES_VARIABLE,
    allowed_packages,
    code_here,
    digest_of,
    is_of,
    may_be_imported,
    offered,
)

#: Errors of the machine, which may be gone when the run is tried again.
FAULTS_OF_MACHINE = (MemoryError, OSError)
#: The packages that were imported here and not by the program itself, each with the digest of its
#: code at that moment.
_ours: dict[str, tuple[ModuleType, str | None]] = {}


class Sizes(NamedTuple):
    """What a spec says of the sizes of a model."""

    latent_dim: int
    #: Channels and side of the images.
    shape: ImageShape
    #: How many values each factor of u has; empty for a model without u.
    u_sizes: tuple[int, ...]
    #: Likelihood of the pixels, whose parameter the decoder gives.
    likelihood: LikelihoodSpec


def own_model(
    spec: OwnModelSpec, shape: ImageShape, u_sizes: Sequence[int], generator: torch.Generator
) -> Any:  # noqa: ANN401
    """A new model of a user's class, with first weights from the generator.

    Raises:
        InvalidInput: the class may not be imported, is not there, or is no model; its code is not
            that of the spec; or its own part of the spec has faults.
    """
    kind = class_of(spec.kind)
    if spec.code is not None and (here := code_here(spec.kind)) != spec.code:
        raise InvalidInput(
            f"the code of {spec.kind} is other code on this machine: the spec is of {spec.code}, "
            f"and this machine has {here}; install the same version, or submit the spec anew"
        )
    has_own_rule = "extra" in kind.Fields.model_config
    try:
        # a misspelt field would otherwise be another run with the default's numbers
        fields = kind.Fields.model_validate(
            spec.fields_of_class, extra=None if has_own_rule else "forbid"
        )
    except ValidationError as error:
        faults = "; ".join(
            f"/model/fields/{'/'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        )
        raise InvalidInput(f"{spec.kind} refuses its fields: {faults}") from error
    sizes = Sizes(spec.latent_dim, shape, tuple(u_sizes), spec.likelihood)
    try:
        model = kind(fields, sizes, generator)
        state = model.state_dict()
    except FAULTS_OF_MACHINE:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code does
        raise InvalidInput(
            f"{spec.kind} cannot be made: {_with_place(error, kind.__module__)}"
        ) from error
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise InvalidInput(
            f"the state of {spec.kind} has {', '.join(others)}; allowed: tensors only, because "
            "nothing else can be kept"
        )
    return model


def class_of(name: str) -> type[Any]:
    """The class of this name.

    Args:
        name: `package.module:Class`, or the name of an entry point of the group `polar.models`.

    Raises:
        InvalidInput: its package is not allowed, it is not there, or it is no model.
    """
    place = name if ":" in name else _place_of(name)
    module, _, attribute = place.partition(":")
    if not may_be_imported(place):
        raise InvalidInput(
            f"the model {name} may not be imported; allowed: packages that {PACKAGES_VARIABLE} "
            f"names ({', '.join(allowed_packages()) or 'none'}), which the owner of a machine "
            "sets, and modules that the program has imported"
        )
    try:
        kind = getattr(_imported(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"there is no model {name}: {error}") from error
    except FAULTS_OF_MACHINE:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code does
        raise InvalidInput(
            f"the module of the model {name} fails: {_with_place(error, module)}"
        ) from error
    fields = getattr(kind, "Fields", None)
    is_class = isinstance(kind, type) and issubclass(kind, nn.Module)
    if not is_class or not (isinstance(fields, type) and issubclass(fields, BaseModel)):
        raise InvalidInput(
            f"{name} is no model; allowed: a class of nn.Module with a pydantic model `Fields`"
        )
    return kind


def _imported(module: str) -> ModuleType:
    """A module, imported anew if its package's files have changed since they were imported here.

    A process that stays, such as a findings child, would otherwise use code that is gone. What the
    program has imported by itself stays as it is.
    """
    package = module.partition(".")[0]
    present, now = sys.modules.get(package), digest_of(package)
    if package in _ours and _ours[package][0] is present and _ours[package][1] != now:
        for name in [name for name in sys.modules if is_of(name, [package])]:
            del sys.modules[name]
        present = None
        importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    finally:  # also where a module of the package fails, because the package itself stays then
        if present is None and package in sys.modules:
            _ours[package] = sys.modules[package], now


def _with_place(error: BaseException, module: str) -> str:
    """The error, and the last line of the user's package in its traceback, if there is one."""
    package = module.partition(".")[0]
    lines = [
        f" at {frame.f_code.co_filename}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if is_of(frame.f_globals.get("__name__", ""), [package])
    ]
    return f"{error!r}{lines[-1] if lines else ''}"


def _place_of(name: str) -> str:
    places = offered()
    if name not in places:
        raise InvalidInput(
            f"no installed package offers a model {name}; allowed: "
            f"{', '.join(places) or 'none'}, or package.module:Class"
        )
    return places[name]
