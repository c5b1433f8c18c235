"""`polar token` and `polar login`: who may use the service, and how a browser gets in.

Exit codes: REFUSED when the service refuses, UNREACHABLE when nobody answers.
"""

import webbrowser
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Annotated

import typer

from polar.files import written_aside
from service.cli.connection import Url, service_at
from service.cli.output import Format, Output, say, show, write
from service.homes import home_of_environment, resolved_home
from service.tokens import Scope

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke tokens for the service.")

Name = Annotated[str, typer.Argument(help="Name of the token: who uses it, or what for.")]
Allowed = Annotated[Scope, typer.Option(help="What it lets do; each includes those before it.")]


@app.command()
def create(
    name: Name,
    scope: Allowed = Scope.READ,
    days: Annotated[int, typer.Option(min=1, help="Days for which it can be used.")] = 90,
    url: Url = None,
) -> None:
    """Make a token and print it, once: nobody can read it again."""
    with service_at(url) as client:
        made = client.create_token(name, scope, days=days)
    write(made.token)
    say(
        f"{made.name!r} may {made.scope} until {_day(made.expires_at)}; "
        "set POLAR_TOKEN to it where it is used"
    )


@app.command("list")
def list_tokens(output: Output = Format.TABLE, url: Url = None) -> None:
    """List tokens and logged-in browsers that have not been revoked, newest first."""
    with service_at(url) as client:
        from service.cli.token_tables import of

        show(client.tokens(), of, output)


@app.command()
def revoke(name: Name, url: Url = None) -> None:
    """Revoke a token, or log a browser out; what it still holds open goes on to its end."""
    with service_at(url) as client:
        revoked = client.revoke_token(name)
    say(f"{revoked.name!r} is revoked")


def login(
    scope: Allowed = Scope.READ,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open it in the browser of this machine.")
    ] = False,
    url: Url = None,
) -> None:
    """Print a link that lets one browser in, once, within five minutes."""
    with service_at(url) as client:
        link = client.login_link(scope)
    write(link)
    if open_it:
        webbrowser.open(_page_that_leads_to(link).as_uri())


def _page_that_leads_to(link: str) -> Path:
    """A page in the home that only this user can read: command lines are seen by everybody."""
    home = resolved_home(home_of_environment())
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    page = home / "login.html"
    with written_aside(page) as aside:
        aside.touch(mode=0o600)
        aside.write_text(f'<meta http-equiv="refresh" content="0; url={escape(link)}">')
    return page


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
