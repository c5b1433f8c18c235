"""Polar finds where latent spaces polarise.

Each name below is imported when it is first used: `import polar.spec` must not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polar.data.own_images import add_images as add_images
    from polar.entropy import renyi_entropy as renyi_entropy
    from polar.experiment.completion import complete as complete
    from polar.experiment.model_file import load as load
    from polar.experiment.run import run as run
    from polar.measurement.measure import measure as measure
    from polar.measurement.watch import Watch as Watch
    from polar.spec import ExperimentSpec as ExperimentSpec
    from polar.spec.course import warm_started as warm_started
    from polar.spec.course import with_steps as with_steps

    __version__: str

_HOMES = {
    "ExperimentSpec": "polar.spec",
    "Watch": "polar.measurement.watch",
    "add_images": "polar.data.own_images",
    "complete": "polar.experiment.completion",
    "load": "polar.experiment.model_file",
    "measure": "polar.measurement.measure",
    "renyi_entropy": "polar.entropy",
    "run": "polar.experiment.run",
    "warm_started": "polar.spec.course",
    "with_steps": "polar.spec.course",
}

__all__ = [
    "ExperimentSpec",
    "Watch",
    "__version__",
    "add_images",
    "complete",
    "load",
    "measure",
    "renyi_entropy",
    "run",
    "warm_started",
    "with_steps",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name == "__version__":
        from importlib.metadata import version  # this takes longer than all else here

        return version("polar-latents")
    if name not in _HOMES:
        raise AttributeError(f"module 'polar' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
