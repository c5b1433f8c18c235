"""The programs that our processes start, and the commands that run them."""

import sys
from enum import StrEnum


class Program(StrEnum):
    """The name of a module that is run as a program.

    Starting a program is a dependency that import contracts cannot see: `service.api` starts
    `service.cli`, `service.study_figures` and `service.run_figures`, which stand above it, and
    receives only what they print or write. So does the tracker with `service.study_figures`.
    """

    POLAR = "polar_latents"
    COMMANDS = "service.cli"
    API = "service.api"
    STUDY_FIGURES = "service.study_figures"
    RUN_FIGURES = "service.run_figures"
    #: The broker and the tracker.
    CLERK = "service.clerk"
    DASHBOARD = "service.dashboard"
    MIGRATION = "service.storage.migrate"
    AGENT = "workers"
    #: Forks the children of an agent.
    TEMPLATE = "workers.training.template"
    FINDINGS_CHILD = "workers.training.findings_child"
    #: Serves `TRACKING_SERVER`.
    RESTING = "service.resting"


#: The application that is MLflow behind our door.
TRACKING_SERVER = "service.tracking_server:app"


def python(program: Program, *arguments: str) -> list[str]:
    """The command that runs a program with our interpreter.

    The option -P keeps the current folder off the import path, where the user may have a folder
    `workers` that is not ours.
    """
    return [sys.executable, "-P", "-m", program.value, *arguments]
