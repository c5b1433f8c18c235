"""`polar doctor`: what is wrong with an installation, a machine, a stack and its stores.

It asks the database itself, as the owner of the home may, so that it also works while the API is
down, and with POLAR_DATABASE_URL for a service of several machines.

Exit codes: FAILED where a fault stays.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from polar.errors import InvalidInput
from service.cli.checks import Check, Level, fault, table
from service.cli.output import Format, Output, show
from service.cli.own_settings import Home, is_of_environment, settings_of
from service.exit_codes import FAILED
from service.homes import DEFAULT_HOME
from service.settings import Settings

Repair = Annotated[
    bool,
    typer.Option("--repair", help="Queue lost runs again, and have MLflow told what it lacks."),
]


def doctor(
    home: Home = DEFAULT_HOME, repair: Repair = False, output: Output = Format.TABLE
) -> None:
    """Check versions, disks, devices, clocks and stores, and say what to do."""
    checks = asyncio.run(examine(home, repair=repair))
    show(checks, table, output)
    if any(check.level is Level.FAULT for check in checks):
        raise typer.Exit(FAILED)


async def examine(home: Path, *, repair: bool) -> list[Check]:
    """All checks, whatever is down."""
    from service.cli import doctor_machine as machine
    from service.cli.doctor_stores import Stores
    from service.homes import resolved_home
    from service.storage.database import Database

    checks = [machine.versions(), machine.devices()]
    try:
        home = resolved_home(home)
    except InvalidInput as error:
        return [*checks, fault("home", str(error), "set POLAR_HOME")]
    api_url, mlflow_url, wrong = machine.stack_of(home)
    checks += [wrong] if wrong else []
    settings, why = None, ""
    try:
        settings = settings_of(home, mlflow_url or "")
    except InvalidInput as error:
        why = str(error)
    checks += machine.disks(home, settings.artifacts if settings else None)
    url = os.environ.get("POLAR_URL") or _api_of(settings) or api_url
    checks += machine.api(url)
    if settings is None:
        return [*checks, fault("settings", why, "correct the environment, or see above")]
    database = Database(settings.sqlalchemy_url, connections=1, is_impatient=True)
    try:
        code = machine.code_of_api(url) if url else None
        stores = Stores(settings, database, repair=repair, code_of_api=code)
        checks += [check async for check in stores.checks()]
    finally:
        await database.close()
    return checks


def _api_of(settings: Settings | None) -> str | None:
    """Where the API of this environment listens, if it does so on this machine."""
    named = settings if is_of_environment() else None
    return f"http://127.0.0.1:{named.api_port}" if named else None
