"""`polar logs`: what the process printed that trains a run.

Exit codes: REFUSED when the service refuses, UNREACHABLE when nobody answers, INTERRUPTED on
Ctrl-C.
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.connection import Url, option_of, service_at
from service.cli.output import Format, Output, going_on, say, write, write_json

if TYPE_CHECKING:
    from service.api.runs.schemas import RunLog
    from service.client import Client

#: Seconds between two looks at a log that is followed.
POLL_S = 1.0

Id = Annotated[str, typer.Argument(help="Id of a run, how it begins, or its name.")]


def logs(
    id: Id,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what it prints until it has ended.")
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option(min=1, help="Number of an attempt.", show_default="the newest"),
    ] = None,
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Show the end of what a run has printed, its errors included."""
    with service_at(url) as client:
        from service.client import Run

        run_id = client.meant(id, Run)
        part = client.log(run_id, attempt)
        if output is Format.JSON:
            write_json(part.model_dump_json(indent=2))
            return
        if not (part.text or follow):
            say(f"attempt {part.attempt} of run {part.run_id} has printed nothing")
        _print(part)
        if follow:
            with going_on(f"polar logs -f {run_id}{option_of(url)}"):
                _follow(client, part, is_newest=attempt is None)


def _follow(client: "Client", part: "RunLog", *, is_newest: bool) -> None:
    """Print what follows this part, also of the next attempts if the newest is followed."""
    while True:
        has_ended = part.state.is_final
        more = client.log(part.run_id, part.attempt or None, part.end)
        _print(more)
        newest = client.log(part.run_id) if is_newest else more
        if newest.attempt != part.attempt:
            say(f"attempt {newest.attempt} begins")
            more = client.log(part.run_id, newest.attempt, 0)
            _print(more)
        elif has_ended and more.end == part.end:  # it had ended before this look
            return
        part = more
        time.sleep(POLL_S)


def _print(part: "RunLog") -> None:
    from service.cli.rows import without_controls

    if part.text:
        write("\n".join(map(without_controls, part.text.removesuffix("\n").split("\n"))))
