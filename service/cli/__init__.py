"""The `polar` command."""

import typer

from service.cli import data, remote, study, study_figure
from service.cli.demo import demo
from service.cli.measure import measure
from service.cli.run import run
from service.cli.up import up

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.command()(up)
app.command()(demo)
app.command()(run)
app.command()(measure)
app.command()(remote.submit)
app.command("list")(remote.list_experiments)
app.command()(remote.get)
app.command()(remote.watch)
app.command()(remote.cancel)
app.command()(remote.validate)
study.app.command()(study_figure.figure)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")


@app.callback()
def polar() -> None:
    """Finds where latent spaces polarise."""
