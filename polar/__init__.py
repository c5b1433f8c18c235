"""Polar finds where latent spaces polarise.

The names below are loaded when first used, so that `import polar.spec` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polar.entropy import renyi_entropy as renyi_entropy
    from polar.experiment import run as run
    from polar.measurement import measure as measure
    from polar.spec import ExperimentSpec as ExperimentSpec

_HOMES = {
    "ExperimentSpec": "polar.spec",
    "measure": "polar.measurement",
    "renyi_entropy": "polar.entropy",
    "run": "polar.experiment",
}

__all__ = ["ExperimentSpec", "measure", "renyi_entropy", "run"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module 'polar' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
