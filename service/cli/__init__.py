"""The `polar` command."""

import typer

from service.cli.run import run
from service.cli.up import up

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.command()(up)
app.command()(run)


@app.callback()
def polar() -> None:
    """Finds where latent spaces polarise."""
