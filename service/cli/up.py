"""`polar up`: the whole stack on this machine.

Exit codes: FAILED when it cannot start, REFUSED when a setting of the environment is wrong.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from polar.errors import InvalidInput
from polar.spec.own_models import PACKAGES_VARIABLE, allowed_packages, installed_here
from service.cli.output import fail, say, write
from service.exit_codes import FAILED, REFUSED
from service.homes import DEFAULT_HOME


def up(
    home: Annotated[
        Path,
        typer.Option(envvar="POLAR_HOME", help="Folder for database, logs, results and ports."),
    ] = DEFAULT_HOME,
    agents: Annotated[
        int | None,
        typer.Option(min=1, help="Number of runs at a time; by default one per GPU or core."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda or cuda:N; by default all GPUs, or else the CPU."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=16, help="Processes of the API (POLAR_API_WORKERS; 1)."),
    ] = None,
) -> None:
    """Start database, MLflow, API and agents on this machine; Ctrl-C stops them."""
    from service import processes

    if "POLAR_DATABASE_URL" in os.environ:
        say("POLAR_DATABASE_URL is set, but `polar up` runs a database of its own")
    if missing := set(allowed_packages()) - set(installed_here()):
        say(f"{PACKAGES_VARIABLE} names {', '.join(sorted(missing))}, which is not installed")
    if workers is not None:
        os.environ["POLAR_API_WORKERS"] = str(workers)
    processes.make_private()  # before any library that reads the environment is loaded
    from service.embedded import supervisor
    from service.embedded.errors import EmbeddedError

    try:
        # `write` bears a closed terminal
        supervisor.up(home, agents, device, write, lets_in=sys.stdout.isatty())
    except InvalidInput as error:
        fail(error, REFUSED)
    except EmbeddedError as error:
        fail(error, FAILED)
