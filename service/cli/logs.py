"""`polar logs`: what the process printed that trains a run.

Exit codes: REFUSED when the service refuses or has no such log, UNREACHABLE when nobody answers,
INTERRUPTED on Ctrl-C.
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.connection import Url, option_of, service_at
from service.cli.output import going_on, say, write

if TYPE_CHECKING:
    from service.client import Client

#: Seconds between two looks at a log that is followed.
POLL_S = 1.0

Id = Annotated[str, typer.Argument(help="Id of a run, how it begins, or its name.")]


def logs(
    id: Id,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what it prints until it has ended.")
    ] = False,
    tail: Annotated[
        int, typer.Option("--tail", "-n", min=1, max=10_000, help="How many lines at most.")
    ] = 200,
    attempt: Annotated[
        int | None,
        typer.Option(min=1, help="Number of an attempt.", show_default="the newest"),
    ] = None,
    url: Url = None,
) -> None:
    """Show the last lines that a run has printed, its errors included."""
    with service_at(url) as client:
        from service.client import Run

        run_id = client.meant(id, Run)
        if not follow:
            part = client.log(run_id, tail, attempt=attempt)
            _print(part.text if part.text.endswith("\n") or not part.text else f"{part.text}\n")
            if not part.text:
                say(f"attempt {part.attempt} of run {run_id} has printed nothing")
            return
        with going_on(f"polar logs -f {run_id}{option_of(url)}"):
            _follow(client, run_id, tail, attempt)


def _follow(client: "Client", run_id: str, tail: int, attempt: int | None) -> None:
    """Print the last lines and what follows, also of the next attempts if none is named."""
    shown, end = attempt, None
    while True:
        run = client.run(run_id)
        if attempt is None and shown != run.attempt:
            if shown:  # it may have printed why it ended
                _print_on(client, run_id, tail, shown, end)
            if shown is not None:
                say(f"attempt {run.attempt} begins")
            shown, end = run.attempt, None
        is_over = run.has_ended or run.attempt > (shown or 0)
        if shown or is_over:
            end = _print_on(client, run_id, tail, shown or None, end, is_complete=is_over)
        if is_over:
            return
        time.sleep(POLL_S)


def _print_on(
    client: "Client",
    run_id: str,
    tail: int,
    attempt: int | None,
    end: int | None,
    *,
    is_complete: bool = False,
) -> int | None:
    """Print all that is there after this place.

    Returns:
        Where it ends; None where the attempt has not begun its log yet.

    Raises:
        Refused: there is no log, and none will come.
    """
    from service.client import Refused

    while True:
        try:
            part = client.log(run_id, tail, attempt=attempt, after=end)
        except Refused as refused:
            if refused.problem.status != 404 or end is not None or is_complete:
                raise
            return None
        _print(part.text)
        if not part.text:
            return part.end
        end = part.end


def _print(text: str) -> None:
    from service.cli.rows import without_controls

    if text:
        write("\n".join(map(without_controls, text.split("\n"))), end="")
