"""`polar logs`: what the process printed that trains a run.

Exit codes: REFUSED when the service refuses or has no such log, UNREACHABLE when nobody answers,
INTERRUPTED on Ctrl-C.
"""

import json
import time
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.connection import Url, option_of, service_at
from service.cli.output import Format, Output, going_on, say, write

if TYPE_CHECKING:
    from service.client import Client
    from service.client.results import Log

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
    output: Output = Format.TABLE,
    url: Url = None,
) -> None:
    """Show the last lines that a run has printed, its errors included.

    As JSON, each line is an object with its attempt; with --follow, the objects are not in a list
    but each on a line.
    """
    with service_at(url) as client:
        from service.client import Run

        run_id = client.meant(id, Run)
        if follow:
            run = client.run(run_id)
            if not run.has_ended:
                say(f"run {run_id} is {run.state}; what it prints follows")
            with going_on(f"polar logs -f {run_id}{option_of(url)}"):
                _print_as_they_come(_parts(client, run_id, tail, attempt), output)
            return
        part = client.log(run_id, tail, attempt=attempt)
        if output is Format.JSON:
            write(json.dumps(list(_lines([part])), indent=2))
        else:
            _print(part.text if part.text.endswith("\n") or not part.text else f"{part.text}\n")
        if not part.text:
            say(f"attempt {part.attempt} of run {run_id} has printed nothing")


def _print_as_they_come(parts: "Iterator[Log]", output: Format) -> None:
    if output is Format.JSON:
        for line in _lines(parts):
            write(json.dumps(line))
    else:
        for part in parts:
            _print(part.text)


def _lines(parts: "Iterable[Log]") -> Iterator[dict[str, object]]:
    """Each line with the number of its attempt, once the whole of it is there."""
    attempt, begun = 0, ""
    for part in parts:
        if begun and part.attempt != attempt:
            yield {"attempt": attempt, "line": begun}
            begun = ""
        attempt = part.attempt
        *whole, begun = (begun + part.text).split("\n")
        yield from ({"attempt": attempt, "line": line} for line in whole)
    if begun:
        yield {"attempt": attempt, "line": begun}


def _parts(client: "Client", run_id: str, tail: int, attempt: int | None) -> "Iterator[Log]":
    """The last lines and what follows, also of the next attempts if none is named."""
    shown, end = attempt, None
    while True:
        run = client.run(run_id)
        if attempt is None and shown != run.attempt:
            if shown:  # it may have printed why it ended
                yield from _after(client, run_id, tail, shown, end)
            if shown is not None:
                say(f"attempt {run.attempt} begins")
            shown, end = run.attempt, None
        is_over = run.has_ended or run.attempt > (shown or 0)
        if shown or is_over:
            end = yield from _after(client, run_id, tail, shown or None, end, is_complete=is_over)
        if is_over:
            return
        time.sleep(POLL_S)


def _after(
    client: "Client",
    run_id: str,
    tail: int,
    attempt: int | None,
    end: int | None,
    *,
    is_complete: bool = False,
) -> "Generator[Log, None, int | None]":
    """All that is there after this place.

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
        yield part
        if not part.text:
            return part.end
        end = part.end


def _print(text: str) -> None:
    from service.cli.rows import without_controls

    if text:
        write("\n".join(map(without_controls, text.split("\n"))), end="")
