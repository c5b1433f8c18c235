"""The `polar` command."""

import sys
from typing import Annotated, NoReturn

import typer

from service.cli import data, output, remote, study, study_figure
from service.cli.demo import demo
from service.cli.measure import measure
from service.cli.run import run
from service.cli.up import up
from service.exit_codes import FAILED

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(up)
app.command()(demo)
app.command()(run)
app.command()(measure)
app.command()(remote.submit)
app.command("list")(remote.list_experiments)
app.command()(remote.get)
app.command()(remote.watch)
app.command()(remote.extend)
app.command()(remote.cancel)
app.command()(remote.validate)
study.app.command()(study_figure.figure)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")


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
