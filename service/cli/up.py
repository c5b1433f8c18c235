"""`polar up`: the whole stack on this machine.

Exit codes: 1 it cannot start, 2 a setting of the environment is wrong.
"""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from polar.errors import InvalidInput

FAILED, REFUSED = 1, 2


def up(
    home: Annotated[
        Path,
        typer.Option(envvar="POLAR_HOME", help="Database, logs, results and ports are kept here."),
    ] = Path("~/.polar"),
    agents: Annotated[
        int | None,
        typer.Option(min=1, help="Runs at a time. By default one a GPU, or one a core."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu, cuda or cuda:N. By default all GPUs, or the CPU."),
    ] = None,
) -> None:
    """Start database, MLflow, API and agents on this machine; Ctrl-C stops them."""
    from service import processes

    processes.make_private()  # before anything loads a library that reads it
    from service.embedded import supervisor
    from service.embedded.errors import EmbeddedError

    try:
        supervisor.up(home, agents, device, _say)
    except InvalidInput as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(REFUSED) from error
    except EmbeddedError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(FAILED) from error


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal was closed; the stack still has to stop
        typer.echo(line)
