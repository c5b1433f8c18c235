"""`polar delete`: experiments, runs and studies, wherever something is stored of them.

Exit codes: REFUSED when the service refuses, an id is unknown, or nobody said --yes; UNREACHABLE
when nobody answers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from polar.errors import InvalidInput
from service.cli.connection import Url, service_at
from service.cli.output import Format, Output, say, show
from service.exit_codes import REFUSED
from service.ids import LEAST_TO_DELETE, digits_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from service.api.schemas import DeletionView
    from service.client import Client
    from service.client.answers import Answer

Ids = Annotated[
    list[str],
    typer.Argument(
        help="Ids of experiments, runs or studies, at least 8 digits of each, or names that no id "
        "begins with."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Delete; without this nothing is deleted.")]


def delete(ids: Ids, yes: Yes = False, output: Output = Format.TABLE, url: Url = None) -> None:
    """Delete experiments, runs or studies for good, with the runs that nobody else has."""
    with service_at(url) as client:
        delete_all(client, [client.find_any(meant(client, id)) for id in ids], yes, output)


def meant(client: "Client", written: str, *kinds: "type[Answer]") -> str:
    """The id of what somebody wants to delete, or how it begins.

    What could begin an id is no name here: somebody may have given it to something else as its
    name, which would be deleted if what had the id is gone.

    Raises:
        InvalidInput: so few digits may soon be those of something else.
    """
    digits = digits_of(written)
    if digits is None:
        return client.meant(written, *kinds)
    if len(digits) < LEAST_TO_DELETE:
        raise InvalidInput(
            f"{written} is too short for what is to be deleted; allowed: at least "
            f"{LEAST_TO_DELETE} digits of an id, or a name that has other letters than a to f"
        )
    return written


def delete_all(client: "Client", found: "Sequence[Answer]", is_sure: bool, output: Format) -> None:
    """Delete what was fetched, or say what would be deleted, and that --yes is missing."""
    if not is_sure:
        say("this would be deleted for good:", *map(_titled, found))
        say("nothing was deleted; say --yes to delete this")
        raise typer.Exit(REFUSED)
    deleted: list[DeletionView] = []
    try:
        for each in found:
            deleted.append(client.delete(each))
    finally:  # also where the service refuses the next of them
        if deleted:
            show(deleted, _table, output)


def _titled(each: "Answer") -> str:
    """Its title and its id, which stands in the title of what has no name."""
    from service.client import Run

    title = each.title if str(each.id) in each.title else f"{each.title}, {each.id}"
    if isinstance(each, Run):
        title += ", and its experiment, if that has no other run"
    return title


def _table(deleted: "Sequence[DeletionView]") -> "RenderableType":
    from service.cli.rows import Rows

    table = Rows("deleted", "id")
    for each in deleted:
        table.add(each.kind, str(each.id))
    return table
