"""The settings of a service, for commands of its owner that speak with its database themselves."""

import os
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict

from polar.errors import InvalidInput
from service.settings import Settings


def _the_only_service(context: typer.Context, home: Path) -> Path:
    source = context.get_parameter_source("home")
    if is_of_environment() and source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter(
            f"{home} is one service, and POLAR_DATABASE_URL names another; unset "
            "POLAR_DATABASE_URL, or leave --home out"
        )
    return home


Home = Annotated[
    Path,
    typer.Option(
        envvar="POLAR_HOME",
        help="Home of a stack; not with POLAR_DATABASE_URL.",
        callback=_the_only_service,
    ),
]


def settings_of(home: Path, mlflow_url: str = "") -> Settings:
    """The settings of the environment if it names a database, or else those of the home's stack.

    Raises:
        InvalidInput: there is no such stack, or a setting is wrong.
    """
    from service.embedded.errors import EmbeddedError
    from service.embedded.postgres import url_of
    from service.homes import resolved_home, token_of
    from service.storage.roles import Role

    if is_of_environment():
        return Settings.read()
    home = resolved_home(home)
    try:
        database = url_of(home, "app", Role.APP)
        optuna = url_of(home, "optuna", Role.OPTUNA)
    except EmbeddedError as error:
        raise InvalidInput(
            f"{error}, or name another with --home or POLAR_DATABASE_URL"
        ) from error
    return Settings.read(
        home=home,
        database_url=database,
        optuna_url=optuna,
        artifacts=home / "artifacts",
        mlflow_url=mlflow_url,
        mlflow_token=token_of(home),
    )


def address_of(settings: Settings) -> str:
    """The name and the place of the database, without user and password."""
    known = conninfo_to_dict(settings.database_url.get_secret_value())
    return f"{known.get('dbname')} at {known.get('host')}:{known.get('port', 5432)}"


def is_of_environment() -> bool:
    """Whether the environment describes the service, instead of a home."""
    return "POLAR_DATABASE_URL" in os.environ
