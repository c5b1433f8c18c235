"""The programs that our processes start, and the command that runs each of them."""

import sys
from enum import StrEnum


class Program(StrEnum):
    """A module that is run as a program, by its name.

    Import contracts cannot see these arrows: `service.api` starts `service.cli` and
    `service.drawing`, which stand above it, and gets back only what they print or write.
    """

    POLAR = "polar_latents"
    COMMANDS = "service.cli"
    API = "service.api"
    DRAWING = "service.drawing"
    STUDIES = "service.studies"
    DASHBOARD = "service.dashboard"
    MIGRATION = "service.storage.migrate"
    AGENT = "workers"
    CHILD = "workers.training.child"
    TRACKING = "workers.tracking"
    #: Serves MLflow.
    UVICORN = "uvicorn"


def python(program: Program, *arguments: str) -> list[str]:
    """The command that runs a program with our interpreter.

    -P: a folder `workers` where the user stands is not ours.
    """
    return [sys.executable, "-P", "-m", program.value, *arguments]
