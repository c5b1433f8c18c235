"""`polar backup` and `polar restore`: the homes of stacks on this machine.

Exit codes: FAILED when a copy fails, or nothing can be copied.
"""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.output import fail, write
from service.exit_codes import FAILED
from service.homes import DEFAULT_HOME
from service.processes import make_private

Home = Annotated[Path, typer.Option(envvar="POLAR_HOME", help="Home of a stack.")]


def backup(
    to: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Copy a home, with its databases and files, to a new folder; its stack may run."""
    make_private()  # before any library that reads the environment is loaded
    from service.embedded.backup import back_up
    from service.embedded.errors import EmbeddedError

    try:
        back_up(home, to)
    except EmbeddedError as error:
        fail(error, FAILED)
    write(f"{home} is in {to}, with its passwords: keep it to yourself; images and downloads of")
    write(f"POLAR_DATA_DIR are not in it. `polar restore {to} --home NEW` makes a home of it.")


def restore(
    backup: Annotated[Path, typer.Argument(help="A folder that `polar backup` made.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Make a new home of a backup of your own; its tokens are revoked."""
    make_private()  # before any library that reads the environment is loaded
    from service.embedded.backup import restore
    from service.embedded.errors import EmbeddedError

    try:
        made = restore(backup, home)
    except EmbeddedError as error:
        fail(error, FAILED)
    was, at = _harmless(made["home"]), _harmless(made["made_at"])
    write(f"{home} is as {was} was at {at}; `polar up --home {home}`")
    write("starts it. All tokens are revoked there, and browsers logged out. Where the other home")
    write("still runs, both now train what was queued.")


def _harmless(said: object) -> str:
    """What a backup says, without characters that could erase what a terminal has shown."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(said))
