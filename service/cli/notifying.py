"""Tells somebody who looks elsewhere that what they wait for has ended."""

import shutil
import subprocess
import sys
from contextlib import suppress
from typing import Annotated

import typer

Notify = Annotated[
    bool,
    typer.Option(
        "--notify",
        help="At the end ring the terminal's bell, and show a notification where notify-send or "
        "osascript can.",
    ),
]
#: Seconds that a notification may take; nobody waits for one that hangs.
LIMIT_S = 5.0


def notify(message: str) -> None:
    """Ring the bell of a terminal, and show the message on the desktop, if there is one."""
    if sys.stderr.isatty():
        sys.stderr.write("\a")
        sys.stderr.flush()
    command = _command(message)
    if command is None:
        return
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=False,
        )


def _command(message: str) -> list[str] | None:
    """The program that shows a notification; the message is an argument and never a script."""
    if path := shutil.which("notify-send"):
        return [path, "--app-name=polar", "--", "polar", message]
    if path := shutil.which("osascript"):
        script = (
            "on run texts", 'display notification (item 1 of texts) with title "polar"', "end run",
        )  # fmt: skip
        return [path, *(part for line in script for part in ("-e", line)), message]
    return None
