"""What the commands print: answers on stdout, as tables or as JSON, and messages on stderr."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TextIO, TypeVar

import typer

from service.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console, RenderableType

T = TypeVar("T")

#: Columns of a stream that is not a terminal; on stdout each row is one line, for `grep`.
PIPE_WIDTH, PIPE_WIDTH_OF_MESSAGES = 100_000, 200
#: Size of a terminal that does not report its size.
USUAL_SIZE = os.terminal_size((80, 24))
#: Fewest columns that tables are made for.
LEAST_WIDTH = 20


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


Output = Annotated[Format, typer.Option("--output", "-o", help="Format of the answer on stdout.")]


def show(answer: T, table: Callable[[T], "RenderableType"], output: Format) -> None:
    """Print the answer as JSON or as a table."""
    if output is Format.JSON:
        from pydantic import RootModel

        write_json(RootModel[Any](answer).model_dump_json(indent=2))
    else:
        write_table(table(answer))


def write_table(table: "RenderableType") -> None:
    console = console_on(sys.stdout)
    with console.capture() as printed:
        console.print(table)
    write(printed.get(), end="")


def write_json(document: str) -> None:
    """Print JSON so that it means the same in any encoding of stdout."""
    try:
        document.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        document = json.dumps(json.loads(document), indent=2)  # the result is ASCII
    write(document)


def write(content: str | bytes, end: str = "\n") -> None:
    """Print to stdout."""
    if isinstance(content, bytes):
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
    else:  # not typer.echo, which writes UTF-8 even where ASCII is asked for
        sys.stdout.write(content + end)
    sys.stdout.flush()


def say(*lines: str) -> None:
    """Print a message, if there is any, to stderr; lines after the first are indented."""
    if not lines:
        return
    with suppress(OSError):  # nobody can read the message any more
        sys.stderr.write("\n  ".join(lines) + "\n")
        sys.stderr.flush()


def fail(message: object, code: int) -> NoReturn:
    """End the command with a message."""
    say(f"error: {message}")
    raise typer.Exit(code)


@contextmanager
def going_on(command: str) -> Iterator[None]:
    """On Ctrl-C, say that what is being watched goes on, and how to watch it again."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"it keeps running; watch it again with `{command}`")
        raise typer.Exit(INTERRUPTED) from None


def console_on(stream: TextIO) -> "Console":
    """Console for tables and bars: as wide as the terminal, and blind to markup in texts."""
    from rich.console import Console

    width, height = _size(stream)
    return Console(
        file=stream, width=width, height=height, markup=False, highlight=False, emoji=False
    )


def _size(stream: TextIO) -> os.terminal_size:
    """Size of this stream's terminal; rich would ask stdin's first and skip dumb terminals."""
    if not stream.isatty():
        width = PIPE_WIDTH_OF_MESSAGES if stream is sys.stderr else PIPE_WIDTH
        return os.terminal_size((width, USUAL_SIZE.lines))
    size = USUAL_SIZE
    with suppress(OSError):
        size = os.get_terminal_size(stream.fileno())
    wanted = os.environ.get("COLUMNS", "")
    width = int(wanted) if wanted.isdecimal() else 0
    width = width or size.columns or USUAL_SIZE.columns
    return os.terminal_size((max(LEAST_WIDTH, width), size.lines or USUAL_SIZE.lines))


class Stdout(FileIO):
    """The stdout of the process, which drops what it cannot write; `lost` says why."""

    lost: OSError | None = None

    def write(self, data: "ReadableBuffer") -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.lost = self.lost or error
            return memoryview(data).nbytes


def take_over_streams() -> Stdout:
    """Set up stdout and stderr so that characters they cannot encode raise nothing.

    A stream that is closed raises nothing either; what is lost on stdout is noted.
    """
    if sys.stdout is None:  # whoever started us closed it: now it looks as if its reader had gone
        read_end, write_end = os.pipe()
        os.close(read_end)
        os.dup2(write_end, 1)
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    stdout = Stdout(1, "w", closefd=False)
    sys.stdout = TextIOWrapper(
        BufferedWriter(stdout), encoding, "replace", line_buffering=stdout.isatty()
    )
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, for as long as the process lives
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")
    return stdout
