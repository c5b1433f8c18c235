"""The `polar` command."""

import sys
from typing import Annotated, NoReturn

import typer

from service.cli import output
from service.cli.commands import Commands
from service.exit_codes import FAILED

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def main() -> NoReturn:
    """Run the command that this process was started with, and end with its exit code."""
    stdout = output.take_over_streams()
    code: int | str | None = FAILED
    try:
        app(prog_name="polar")
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    if stdout.lost:
        output.say(f"error: cannot write to stdout: {stdout.lost.strerror}")
        code = FAILED
    sys.exit(code)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        import polar

        output.write(f"polar {polar.__version__}")
        raise typer.Exit


@app.callback()
def polar(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Finds where latent spaces polarise."""
